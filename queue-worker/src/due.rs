//! Moves calls whose time has come to their lanes.

use std::{sync::Arc, time::Duration};

use skep_bus::{Delivery, Location};
use skep_protocol::Call;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::{Worker, pull::Puller};

const WINDOW: usize = 256;
const TRY_AGAIN: Duration = Duration::from_secs(1);

pub(crate) async fn run(worker: Arc<Worker>, tasks: TaskTracker) {
    let puller = Puller { queue: "due", window: WINDOW, tasks, shutdown: worker.shutdown.clone() };
    let queue = worker.bus.due();
    puller
        .run(queue, |delivery| {
            let worker = Arc::clone(&worker);
            async move { Box::pin(delivery.hold(worker.requeue(&delivery))).await }
        })
        .await;
}

impl Worker {
    async fn requeue(self: Arc<Self>, delivery: &Delivery<Call>) {
        let invocation = match &delivery.content {
            Ok(invocation) => invocation,
            Err(reason) => {
                let reason = format!("the message cannot be read: {reason}");
                return self.bury_unreadable(delivery, &reason).await;
            }
        };
        let lane = Location::Shared { moved_since: delivery.stored_at() };
        match self.bus.relocate(invocation, lane).await {
            Ok(_) => delivery.ack().await,
            Err(error) if !error.may_pass() => self.bury_call(delivery, invocation, &error.chain()).await,
            Err(error) => {
                warn!(error = error.chain(), call_id = %invocation.call_id, "a call that is due cannot be queued; trying again");
                delivery.again_after(TRY_AGAIN).await;
            }
        }
    }
}
