//! Purges finished calls from the invocation stream every few seconds, and records that are too many. Several workers may do so at once.

use std::{sync::Arc, time::Duration};

use tracing::{debug, warn};

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
        let Some(most_bytes) = worker.config.result_bytes else { continue };
        match worker.bus.trim_records(most_bytes).await {
            Ok(0) => {}
            Ok(purged) => debug!(purged, "the oldest results went, for there was no room for them"),
            Err(error) => warn!(error = error.chain(), "results cannot be purged; trying again"),
        }
    }
}
