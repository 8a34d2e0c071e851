//! Calls that this worker holds and that someone may take back meanwhile.

use std::{
    collections::{HashMap, hash_map::Entry},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use skep_protocol::CallId;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::Worker;

const TRY_AGAIN: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(crate) struct Cancellations {
    held: Mutex<HashMap<CallId, Held>>,
}

#[derive(Default)]
struct Held {
    token: CancellationToken,
    /// Deliveries of the same call at the same time.
    deliveries: usize,
}

/// A call that is held; its token is cancelled when the call is.
pub(crate) struct Watched<'worker> {
    pub(crate) token: CancellationToken,
    id: CallId,
    cancellations: &'worker Cancellations,
}

impl Cancellations {
    /// Watches a call until the guard is dropped.
    pub(crate) fn watch(&self, id: &CallId) -> Watched<'_> {
        let mut held = self.held();
        let call = held.entry(id.clone()).or_default();
        call.deliveries += 1;
        Watched { token: call.token.clone(), id: id.clone(), cancellations: self }
    }

    fn cancel(&self, id: &CallId) {
        if let Some(call) = self.held().get(id) {
            call.token.cancel();
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<CallId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut call) = self.cancellations.held().entry(self.id.clone()) {
            call.get_mut().deliveries -= 1;
            if call.get().deliveries == 0 {
                call.remove();
            }
        }
    }
}

/// Hears of cancelled calls until shutdown.
pub(crate) async fn run(worker: Arc<Worker>) {
    while !worker.shutdown.is_cancelled() {
        match worker.bus.cancellations().await {
            Ok(cancelled) => {
                let mut cancelled = pin!(cancelled);
                while let Some(Some(id)) = worker.shutdown.run_until_cancelled(cancelled.next()).await {
                    worker.cancellations.cancel(&id);
                }
            }
            Err(error) => {
                warn!(error = error.chain(), "cancelled calls are not heard of; trying again");
                worker.shutdown.run_until_cancelled(tokio::time::sleep(TRY_AGAIN)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_watched_as_long_as_any_delivery_of_it_is_held() {
        let (cancellations, id) = (Cancellations::default(), CallId::generate());
        cancellations.cancel(&id);
        let first = cancellations.watch(&id);
        drop(cancellations.watch(&id));
        assert!(!first.token.is_cancelled());
        cancellations.cancel(&id);
        assert!(first.token.is_cancelled());
        drop(first);
        assert!(cancellations.held().is_empty());
        assert!(!cancellations.watch(&id).token.is_cancelled(), "a new call of the same id is another one");
    }
}
