//! Delivers the results of calls that asked for it to their callback URL.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, header};
use reqwest::{Client, StatusCode, redirect::Policy};
use skep_bus::Delivery;
use skep_protocol::{CallRecord, CallState, headers};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};
use url::Url;

use crate::{Worker, WorkerConfig, pull::Puller};

/// Callbacks under way at once.
const WINDOW: usize = 64;
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const TRY_AGAIN: Duration = Duration::from_secs(5);

pub(crate) fn client(config: &WorkerConfig) -> reqwest::Result<Client> {
    Client::builder()
        .user_agent(format!("skep-queue-worker/{}", config.version))
        .redirect(Policy::none())
        .timeout(config.callback_timeout)
        .no_proxy()
        .build()
}

pub(crate) async fn run(worker: Arc<Worker>, tasks: TaskTracker) {
    let puller = Puller { queue: "callbacks", window: WINDOW, tasks, shutdown: worker.shutdown.clone() };
    let queue = worker.bus.callbacks();
    puller
        .run(queue, |delivery| {
            let worker = Arc::clone(&worker);
            async move { delivery.hold(worker.deliver(&delivery)).await }
        })
        .await;
}

impl Worker {
    async fn deliver(&self, delivery: &Delivery<CallRecord>) {
        let record = match &delivery.content {
            Ok(record) => record,
            Err(reason) => return self.bury_unreadable(delivery, reason).await,
        };
        let Some(url) = &record.status.callback_url else {
            return delivery.ack().await;
        };
        let mut pause = FIRST_WAIT;
        for attempt in 1..=self.config.callback_attempts {
            let reason = match self.post(url, record).await {
                Ok(()) => {
                    self.metrics.count_callback("delivered");
                    debug!(call_id = %record.status.call_id, attempt, "callback delivered");
                    return delivery.ack().await;
                }
                Err(Refusal::ForNow(reason)) if attempt < self.config.callback_attempts => reason,
                Err(Refusal::ForNow(reason) | Refusal::ForGood(reason)) => {
                    return self.give_up(delivery, record, &reason).await;
                }
            };
            warn!(call_id = %record.status.call_id, attempt, reason, "callback failed; trying again");
            tokio::select! {
                () = sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)) => {}
                () = self.shutdown.cancelled() => return delivery.again_after(Duration::ZERO).await,
            }
            pause = (pause * 2).min(LONGEST_WAIT);
        }
    }

    async fn post(&self, url: &Url, record: &CallRecord) -> Result<(), Refusal> {
        let request = self.callbacks.post(url.clone()).headers(callback_headers(record)).body(record.body.clone());
        let status = match request.send().await {
            Ok(response) => response.status(),
            Err(error) => return Err(Refusal::ForNow(with_causes(&error.without_url()))),
        };
        judge(status)
    }

    /// The record stays; the callback that could not be delivered is kept as a dead letter.
    async fn give_up(&self, delivery: &Delivery<CallRecord>, record: &CallRecord, reason: &str) {
        let reason = format!("the callback could not be delivered: {reason}");
        let letter = skep_bus::DeadLetter {
            kind: skep_bus::DeadKind::Callback,
            function: &record.status.function,
            call_id: &record.status.call_id,
            reason: &reason,
            headers: &delivery.headers,
            payload: &delivery.payload,
        };
        if let Err(error) = self.bus.store_dead(letter).await {
            warn!(error = error.chain(), call_id = %record.status.call_id, "a dead letter cannot be stored; trying again");
            return delivery.again_after(TRY_AGAIN).await;
        }
        warn!(call_id = %record.status.call_id, reason, "a callback is given up");
        self.metrics.count_callback("dead");
        delivery.ack().await;
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// It may be taken later.
    ForNow(String),
    /// It will never be taken.
    ForGood(String),
}

fn judge(status: StatusCode) -> Result<(), Refusal> {
    if status.is_success() {
        return Ok(());
    }
    let reason = format!("the receiver answered {status}");
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(Refusal::ForNow(reason)),
        status if status.is_server_error() => Err(Refusal::ForNow(reason)),
        _ => Err(Refusal::ForGood(reason)),
    }
}

fn callback_headers(record: &CallRecord) -> HeaderMap {
    let mut map = record.answer_headers();
    if record.status.reason.is_some() {
        let code = if record.status.state == CallState::Dead { "dead" } else { "no_result" };
        map.insert(headers::SKEP_ERROR, HeaderValue::from_static(code));
    }
    // Said even when it is 0, for many receivers read nothing without it.
    map.insert(header::CONTENT_LENGTH, HeaderValue::from(record.body.len()));
    map
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_change_is_tried_again() {
        assert_eq!(judge(StatusCode::NO_CONTENT), Ok(()));
        for code in [408, 429, 500, 502, 503, 504] {
            assert!(matches!(judge(StatusCode::from_u16(code).unwrap()), Err(Refusal::ForNow(_))), "{code}");
        }
        for code in [301, 302, 400, 401, 404, 410] {
            assert!(matches!(judge(StatusCode::from_u16(code).unwrap()), Err(Refusal::ForGood(_))), "{code}");
        }
    }
}
