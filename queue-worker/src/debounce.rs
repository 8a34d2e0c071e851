//! Debounced routes: the call of an event waits, and only the last one of a burst runs.

use std::{
    borrow::Cow,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use skep_bus::{Debounced, Delivery, EndOfBurst};
use skep_protocol::{BurstKey, Call, CallId, Event, EventDebounce};
use tokio::sync::{Mutex, MutexGuard};
use tracing::warn;

use crate::{Worker, dead_lettering::try_again};

/// When a call is looked at again whose burst may not be over.
const NOT_YET: Duration = Duration::from_millis(250);
const TURNS: usize = 16;

/// Calls of one burst enter it one after the other, so that they do not get in each other's way at NATS.
#[derive(Default)]
pub(crate) struct Turns {
    hashes: RandomState,
    turns: [Mutex<()>; TURNS],
}

impl Turns {
    async fn take(&self, key: &BurstKey) -> MutexGuard<'_, ()> {
        let turn = self.hashes.hash_one(key) % TURNS as u64;
        self.turns[usize::try_from(turn).unwrap_or_default()].lock().await
    }
}

impl Worker {
    /// Lets the call of an event wait for later ones. Its place in the burst is noted first, so what is cut off is done again with the event.
    pub(crate) async fn take_debounced(&self, event: &Event, rule: &EventDebounce, call: Call) -> skep_bus::Result<()> {
        let key = rule.burst_key(&event.source);
        let entered = {
            let _turn = self.bursts.take(&key).await;
            self.bus.queues.debounce(&key, &call.call_id, event.received_at, rule).await?
        };
        match entered {
            Debounced::WaitsUntil(due) => self.queue(Call { run_at: Some(due), burst: Some(key), ..call }, false).await,
            // What is known waits or was decided about already.
            Debounced::ReplacedBy(_) if self.bus.calls.status(&call.call_id).await?.is_some() => Ok(()),
            Debounced::ReplacedBy(by) => self.end_as_replaced(&call, &by).await,
        }
    }

    /// A call that is due, as it goes on; `None` if it was replaced, or may still be.
    pub(crate) async fn out_of_burst<'call>(
        &self,
        delivery: &Delivery<Call>,
        call: &'call Call,
    ) -> Option<Cow<'call, Call>> {
        let Some(key) = &call.burst else { return Some(Cow::Borrowed(call)) };
        let decided = match self.bus.queues.end_of_burst(key, call).await {
            Ok(EndOfBurst::Run) => return Some(Cow::Owned(Call { burst: None, ..call.clone() })),
            Ok(EndOfBurst::NotYet) => {
                delivery.again_after(NOT_YET).await;
                return None;
            }
            Ok(EndOfBurst::ReplacedBy(by)) => self.end_as_replaced(call, &by).await,
            Err(error) => Err(error),
        };
        match decided {
            Ok(()) => delivery.ack().await,
            Err(error) => {
                warn!(error = error.chain(), "it cannot be decided whether a debounced call runs; trying again");
                delivery.again_after(try_again(&error)).await;
            }
        }
        None
    }

    /// Records that a call does not run because a later event came.
    async fn end_as_replaced(&self, call: &Call, by: &CallId) -> skep_bus::Result<()> {
        self.end_without_run(call, &format!("a later event came: it was replaced by {by}")).await
    }
}
