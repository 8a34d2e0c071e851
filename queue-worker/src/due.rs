//! Moves calls whose time has come to their lanes.

use std::{borrow::Cow, sync::Arc, time::Duration};

use skep_bus::{Delivery, Location};
use skep_protocol::{Call, headers};
use skep_trace::Span;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, warn};

use crate::{Worker, pull::Puller, spans};

const WINDOW: usize = 256;
const RETRY_DELAY: Duration = Duration::from_secs(1);

pub(crate) async fn run(worker: Arc<Worker>, tasks: TaskTracker) {
    let puller = Puller { queue: "due", window: WINDOW, tasks, shutdown: worker.shutdown.clone() };
    let queue = worker.bus.queues.due();
    puller
        .run(queue, |delivery| {
            let worker = Arc::clone(&worker);
            async move { Box::pin(delivery.hold(worker.return_to_lane(&delivery))).await }
        })
        .await;
}

impl Worker {
    async fn return_to_lane(self: Arc<Self>, delivery: &Delivery<Call>) {
        let call = match &delivery.content {
            Ok(call) => call,
            Err(reason) => {
                let reason = format!("the message cannot be read: {reason}");
                return self.dead_letter_unreadable(delivery, &reason).await;
            }
        };
        self.queue_due(delivery, call).instrument(spans::queueing(call)).await;
    }

    /// Begins the trace of a call that a schedule has planned.
    fn fired<'call>(&self, call: Cow<'call, Call>) -> (Cow<'call, Call>, Option<Span>) {
        if call.occurrence.is_none() || call.trace.is_some() || !self.config.tracer.is_on() {
            return (call, None);
        }
        let mut call = call.into_owned();
        let firing = spans::publish_within(self, None, &mut call);
        (Cow::Owned(call), firing)
    }

    async fn queue_due(&self, delivery: &Delivery<Call>, call: &Call) {
        let Some(call) = self.out_of_burst(delivery, call).await else { return };
        let Some(begins) = Box::pin(self.turn_of(delivery, &call)).await else { return };
        let (mut call, _firing) = self.fired(call);
        if let Some(missed) = begins.missed {
            call.to_mut().headers.insert(headers::SKEP_MISSED, missed.into());
        }
        let lane = Location::Shared { moved_since: delivery.stored_at() };
        match self.bus.queues.relocate(&call, lane).await {
            Ok(_) => delivery.ack().await,
            Err(error) if !error.may_pass() => self.dead_letter_call(delivery, &call, &error.chain()).await,
            Err(error) => {
                warn!(error = error.chain(), "a due call cannot be queued; trying again");
                delivery.again_after(RETRY_DELAY).await;
            }
        }
    }
}
