//! Purges finished calls, and what is beyond the budgets of records and dead letters, every few seconds.
//!
//! One worker does this for all: the one whose id is the lowest. While workers come and go it may be two; that does no harm.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::Worker;

const EVERY: Duration = Duration::from_secs(5);
/// Large bodies that nothing names are looked for so often, and removed when nothing was added to them for so long.
const ORPHANS_EVERY: Duration = Duration::from_secs(60);
const UNCHANGED_FOR: Duration = Duration::from_secs(600);
/// How often delayed calls are looked at, and how many of them.
const OVERDUE_INTERVAL: Duration = Duration::from_secs(30);
const MAX_OVERDUE_LOOKS: usize = 2000;
/// The server moves a call within a second; after this time it has forgotten it.
const OVERDUE_AFTER: Duration = Duration::from_secs(60);

pub(crate) async fn run(worker: Arc<Worker>) {
    loop {
        tokio::select! {
            () = worker.gone.cancelled() => return,
            () = sleep(EVERY) => {}
        }
        if !worker.slots.peers().goes_first() {
            continue;
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

/// Looks for delayed calls that the server has forgotten, a part of them each time.
pub(crate) async fn send_on_overdue(worker: Arc<Worker>) {
    let mut from = 0;
    while worker.gone.run_until_cancelled(sleep(OVERDUE_INTERVAL)).await.is_some() {
        if !worker.slots.peers().goes_first() {
            continue;
        }
        match worker.bus.send_on_overdue(from, MAX_OVERDUE_LOOKS, OVERDUE_AFTER).await {
            Ok(found) => {
                from = found.next;
                if found.sent_on > 0 {
                    warn!(
                        calls = found.sent_on,
                        "NATS has not moved delayed calls whose time has come; they are sent on"
                    );
                }
            }
            Err(error) => warn!(error = error.chain(), "delayed calls cannot be looked at; trying again"),
        }
    }
}

/// Looks for large bodies that somebody has stored or left behind who was gone before the next step.
pub(crate) async fn remove_orphans(worker: Arc<Worker>) {
    while worker.gone.run_until_cancelled(sleep(ORPHANS_EVERY)).await.is_some() {
        if !worker.slots.peers().goes_first() {
            continue;
        }
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
