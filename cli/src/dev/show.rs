//! What `skep dev` shows of calls: each attempt that ends, and the steps of queued calls.

use std::{fmt::Debug, time::Duration};

use futures_util::StreamExt;
use skep_bus::Bus;
use skep_protocol::{CallBody, CallId, CallNews, Step};
use tokio::time::Instant;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

use crate::{
    client::more,
    failure::{Failure, Result},
    output,
};

/// Where dispatch reports calls that have ended.
pub(crate) const CALLS: &str = "skep_dispatch::calls";
/// A step is announced shortly before its record is stored.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);
/// How much of a result is shown.
const SHOWN: usize = 200;

/// Prints a line for each call that has ended, synchronous or an attempt of a queued one.
pub(crate) struct EndedCalls;

impl<S: Subscriber> Layer<S> for EndedCalls {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut call = Ended::default();
        event.record(&mut call);
        let Ended { function, status, seconds } = call;
        output::line(format_args!("{function} answered {status}, after {:.1} ms", seconds * 1000.0));
    }
}

#[derive(Default)]
struct Ended {
    function: String,
    status: u64,
    seconds: f64,
}

impl Visit for Ended {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "status" {
            self.status = value;
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "seconds" {
            self.seconds = value;
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "function" {
            self.function = format!("{value:?}");
        }
    }
}

/// Prints the steps of queued calls as they come, and their results, until it is dropped.
pub(super) async fn queued_calls(bus: &Bus) -> Result<impl Future<Output = ()> + use<'_>> {
    let mut news = Box::pin(bus.calls.news(None).await.map_err(Failure::internal)?);
    Ok(async move {
        while let Some(CallNews { call_id, function, event }) = news.next().await {
            let step = format!("{call_id} of {function} {} {}", event.event.as_str(), more(&event));
            output::line(output::harmless(step.trim_end()));
            if event.event == Step::Succeeded
                && let Some(result) = result(bus, &call_id).await
            {
                output::line(output::harmless(&format!("{call_id} of {function} result {result}")));
            }
        }
        // The connection is at its end, and so is skep.
        std::future::pending().await
    })
}

/// The beginning of a call's result, on one line.
async fn result(bus: &Bus, id: &CallId) -> Option<String> {
    let record = bus.calls.wait_for_record(id, Instant::now() + STORE_TIMEOUT).await.ok()??;
    let CallBody::Whole(body) = record.body else { return None };
    let beginning = body.get(..SHOWN.min(body.len()))?;
    let text = String::from_utf8_lossy(beginning).trim_end().replace('\n', " ");
    let rest = if body.len() > SHOWN { "…" } else { "" };
    (!text.is_empty()).then(|| text + rest)
}
