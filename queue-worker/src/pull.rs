//! The loop that reads every queue: as many deliveries at once as there is space for, each in a task of its own.

use std::{sync::Arc, time::Duration};

use skep_bus::{Delivery, Queue, Result};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

/// Deliveries that one pull asks for at most.
const BATCH: usize = 256;
/// Deliveries end in groups, because their results are stored together; a pull waits this long for a group to make room.
const GATHER_TIMEOUT: Duration = Duration::from_millis(2);
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// How a queue is read.
pub(crate) struct Puller {
    /// For the log.
    pub(crate) queue: &'static str,
    /// Deliveries that are worked on at once.
    pub(crate) window: usize,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

impl Puller {
    /// Reads the queue until shutdown; what fails is tried again.
    pub(crate) async fn run<T, Handled>(self, mut queue: Queue<T>, handle: impl Fn(Delivery<T>) -> Handled)
    where
        Handled: Future<Output = ()> + Send + 'static,
    {
        let window = Arc::new(Semaphore::new(self.window.min(Semaphore::MAX_PERMITS)));
        while !self.shutdown.is_cancelled() {
            let deliveries = match self.next(&mut queue, &window).await {
                Ok(deliveries) => deliveries,
                Err(error) => {
                    warn!(error = error.chain(), queue = self.queue, "a queue cannot be read; trying again");
                    tokio::time::sleep(RETRY_DELAY).await;
                    continue;
                }
            };
            for delivery in deliveries {
                // Only this loop takes permits, so there is one for each delivery that was asked for.
                let Ok(permit) = Arc::clone(&window).acquire_owned().await else {
                    return;
                };
                // Boxed, so that it is handed on in place.
                let handled = Box::pin(handle(delivery));
                self.tasks.spawn(async move {
                    handled.await;
                    drop(permit);
                });
            }
        }
    }

    /// Waits for room in the window, a moment longer for more of it, and then for as many deliveries as it has room for.
    pub(crate) async fn next<T>(&self, queue: &mut Queue<T>, window: &Semaphore) -> Result<Vec<Delivery<T>>> {
        let many = u32::try_from(self.window / 4).unwrap_or(u32::MAX);
        let room = async {
            drop(window.acquire().await);
            drop(timeout(GATHER_TIMEOUT, window.acquire_many(many)).await);
        };
        tokio::select! {
            () = room => {}
            () = self.shutdown.cancelled() => return Ok(Vec::new()),
        }
        queue.next(window.available_permits().min(BATCH), &self.shutdown).await
    }
}
