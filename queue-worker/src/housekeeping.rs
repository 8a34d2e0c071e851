//! Purges finished calls, and what is beyond the budgets of records and letters, every few seconds. Several workers may do so at once.

use std::{sync::Arc, time::Duration};

use tracing::{debug, info, warn};

use crate::Worker;

const EVERY: Duration = Duration::from_secs(5);

pub(crate) async fn run(worker: Arc<Worker>) {
    loop {
        tokio::select! {
            () = worker.shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        match worker.bus.purge_finished().await {
            Ok(0) => {}
            Ok(purged) => debug!(purged, "finished calls were purged"),
            Err(error) => warn!(error = error.chain(), "finished calls cannot be purged; trying again"),
        }
        match worker.bus.keep_to_budgets().await {
            Ok(0) => {}
            Ok(removed) => info!(removed, "the oldest results or dead letters were removed to keep to their budget"),
            Err(error) => warn!(error = error.chain(), "the oldest results cannot be removed; trying again"),
        }
    }
}
