//! Calls that run straight from their event: the event stands for them until they have ended, or have a message of their own.
//!
//! So a webhook's function starts without a second store, and most calls of events are stored once, as a record.
//! Calls that have to wait are queued.

use std::{sync::Arc, time::Duration};

use skep_bus::{Delivery, Place};
use skep_protocol::{Call, Event};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};
use tokio_util::task::TaskTracker;

use crate::Worker;

/// How long an event waits for others to end. Most calls are short, and queueing one takes longer.
const ADMIT_TIMEOUT: Duration = Duration::from_millis(250);

/// What all direct calls share.
pub(crate) struct DirectCalls {
    tasks: TaskTracker,
    /// Events that have direct calls at the same time.
    max_events: usize,
    /// A permit for each event that has direct calls; the calls of others are queued, so that slow functions do not hold up the routing of events.
    events: Semaphore,
}

impl DirectCalls {
    pub(crate) fn new(tasks: TaskTracker, max_events: usize) -> Self {
        Self { tasks, max_events, events: Semaphore::new(max_events.min(Semaphore::MAX_PERMITS)) }
    }

    /// The permit of an event, if it may have direct calls.
    pub(crate) async fn admit(&self) -> Option<SemaphorePermit<'_>> {
        if self.max_events == 0 {
            return None;
        }
        timeout(ADMIT_TIMEOUT, self.events.acquire()).await.ok()?.ok()
    }
}

impl Worker {
    /// Whether a call could begin at once.
    pub(crate) fn may_run_directly(&self, call: &Call) -> bool {
        let Some(function) = self.dispatch.registry().get(&call.function) else { return false };
        let lane = if call.in_bulk { Place::BulkLane } else { Place::Lane };
        let has_to_wait = call.run_at.is_some() || function.replicas() == 0 || self.should_overflow(&function, lane);
        !has_to_wait && call.check_headers().is_ok()
    }

    /// Runs a call of an event. Returns `false` if it is to be queued instead.
    pub(crate) async fn run_directly(self: &Arc<Self>, event: &Delivery<Event>, call: &Call) -> bool {
        let (delivery, settled) = Delivery::of_event(event, &self.bus.calls, call.clone());
        self.direct.tasks.spawn(Box::pin(Arc::clone(self).run_delivery(delivery)));
        let is_settled = settled.await.is_ok();
        if is_settled {
            self.bus.calls.note_accepted(call);
        }
        is_settled
    }
}
