//! Purges finished calls, and what is beyond the budgets of records and letters, every few seconds. Several workers may do so at once.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::Worker;

const EVERY: Duration = Duration::from_secs(5);
/// Large bodies that nothing names are looked for so often, and removed when nothing was added to them for so long.
const ORPHANS_EVERY: Duration = Duration::from_secs(60);
const UNCHANGED_FOR: Duration = Duration::from_secs(600);

pub(crate) async fn run(worker: Arc<Worker>) {
    loop {
        tokio::select! {
            () = worker.shutdown.cancelled() => return,
            () = sleep(EVERY) => {}
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

/// Looks for large bodies that somebody has stored or left behind who was gone before the next step.
pub(crate) async fn remove_orphans(worker: Arc<Worker>) {
    while worker.shutdown.run_until_cancelled(sleep(ORPHANS_EVERY)).await.is_some() {
        match worker.bus.keep_dead_bodies_to_budget().await {
            Ok(0) => {}
            Ok(removed) => {
                info!(removed, "the oldest dead letters with large bodies were removed to keep to their budget")
            }
            Err(error) => warn!(error = error.chain(), "dead letters cannot be removed; trying again"),
        }
        match worker.bus.remove_orphaned_bodies(UNCHANGED_FOR).await {
            Ok(0) => {}
            Ok(removed) => info!(removed, "large bodies that nothing names were removed"),
            Err(error) => warn!(error = error.chain(), "large bodies cannot be looked at; trying again"),
        }
    }
}
