//! One lane: its calls, each run in a task of its own.

use std::sync::Arc;

use skep_protocol::is_bulk;
use tokio_util::task::TaskTracker;

use crate::{Worker, pull::Puller};

pub(crate) async fn run(worker: Arc<Worker>, lane: u32, tasks: TaskTracker) {
    // No quiet function waits behind those in a lane for hot ones.
    let windows = if is_bulk(lane) { 2 } else { 1 };
    let window = worker.config.lane_window.saturating_mul(windows);
    let puller = Puller { queue: "lane", window, tasks, shutdown: worker.shutdown.clone() };
    let queue = worker.bus.queues.lane(lane);
    puller.run(queue, |delivery| Arc::clone(&worker).run_delivery(delivery)).await;
}
