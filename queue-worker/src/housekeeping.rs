//! Housekeeping, every few seconds: purges finished calls, and deletes records and dead letters beyond their budgets.
//!
//! The worker with the lowest id does this for all. While workers join or leave there may be two of them, which does no harm.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::Worker;

const PURGE_INTERVAL: Duration = Duration::from_secs(5);
/// How often orphaned bodies are searched for, and how long they must not have grown before they are deleted.
const ORPHANS_INTERVAL: Duration = Duration::from_secs(60);
const MIN_ORPHAN_AGE: Duration = Duration::from_secs(600);
/// How often overdue calls are searched for, and how many calls are checked.
const OVERDUE_INTERVAL: Duration = Duration::from_secs(30);
const MAX_OVERDUE_CHECKS: usize = 2000;
/// The server moves a due call within a second; after this time it has forgotten the call.
const MIN_OVERDUE_AGE: Duration = Duration::from_secs(60);

pub(crate) async fn run(worker: Arc<Worker>) {
    loop {
        sleep(PURGE_INTERVAL).await;
        if !worker.slots.peers().goes_first() {
            continue;
        }
        match worker.bus.housekeeping.purge_finished().await {
            Ok(0) => {}
            Ok(purged) => debug!(purged, "finished calls were purged"),
            Err(error) => warn!(error = error.chain(), "finished calls cannot be purged; trying again"),
        }
        match worker.bus.housekeeping.keep_to_budgets().await {
            Ok(0) => {}
            Ok(removed) => info!(removed, "the oldest results or dead letters were removed to keep to their budget"),
            Err(error) => warn!(error = error.chain(), "the oldest results cannot be removed; trying again"),
        }
    }
}

/// Looks for delayed calls that the server has forgotten, a part of them each time.
pub(crate) async fn send_on_overdue(worker: Arc<Worker>) {
    let mut from = 0;
    loop {
        sleep(OVERDUE_INTERVAL).await;
        if !worker.slots.peers().goes_first() {
            continue;
        }
        match worker.bus.housekeeping.send_on_overdue(from, MAX_OVERDUE_CHECKS, MIN_OVERDUE_AGE).await {
            Ok(found) => {
                from = found.next;
                if found.sent_on > 0 {
                    warn!(calls = found.sent_on, "NATS did not move due calls; they were moved to their lanes");
                }
            }
            Err(error) => warn!(error = error.chain(), "delayed calls cannot be checked; trying again"),
        }
    }
}

/// Searches for large bodies that a process left behind when it ended.
pub(crate) async fn remove_orphans(worker: Arc<Worker>) {
    loop {
        sleep(ORPHANS_INTERVAL).await;
        if !worker.slots.peers().goes_first() {
            continue;
        }
        match worker.bus.housekeeping.keep_dead_bodies_to_budget().await {
            Ok(0) => {}
            Ok(removed) => {
                info!(removed, "the oldest dead letters with large bodies were removed to keep to their budget")
            }
            Err(error) => warn!(error = error.chain(), "dead letters cannot be removed; trying again"),
        }
        match worker.bus.housekeeping.remove_orphaned_bodies(MIN_ORPHAN_AGE).await {
            Ok(0) => {}
            Ok(removed) => info!(removed, "orphaned bodies were deleted"),
            Err(error) => warn!(error = error.chain(), "orphaned bodies cannot be searched for; trying again"),
        }
    }
}
