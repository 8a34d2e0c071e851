//! One lane: its calls, each run in a task of its own.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::{Worker, pull::Puller};

pub(crate) async fn run(worker: Arc<Worker>, lane: u32, tasks: TaskTracker) {
    let puller = Puller { queue: "lane", window: worker.config.lane_window, tasks, shutdown: worker.shutdown.clone() };
    let queue = worker.bus.queues.lane(lane);
    puller.run(queue, |delivery| Arc::clone(&worker).run_delivery(delivery)).await;
}
