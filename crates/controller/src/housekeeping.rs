//! Housekeeping, while this controller leads: purges finished calls, deletes records and dead letters beyond their budgets, and finds what was left behind.
//!
//! A job that is interrupted in the middle is done again by the next leader.

use std::time::Duration;

use skep_bus::{DelayedCalls, Housekeeping, Result};
use tokio::{join, time::sleep};
use tracing::{debug, info, warn};

const PURGE_INTERVAL: Duration = Duration::from_secs(5);
/// How often orphaned bodies are searched for, and how long they must not have grown before they are deleted.
const ORPHANS_INTERVAL: Duration = Duration::from_secs(60);
const MIN_ORPHAN_AGE: Duration = Duration::from_secs(600);
/// How often overdue calls are searched for, and how many calls are checked.
const OVERDUE_INTERVAL: Duration = Duration::from_secs(30);
const MAX_OVERDUE_CHECKS: usize = 2000;
/// The server moves a due call within a second; after this time it has forgotten the call.
const MIN_OVERDUE_AGE: Duration = Duration::from_secs(60);

/// Does all of it, until it is dropped.
pub(crate) async fn run(bus: Housekeeping) {
    join!(purge(&bus), delete_discarded(&bus), remove_orphans(&bus), send_on_overdue(&bus));
}

async fn purge(bus: &Housekeeping) {
    loop {
        sleep(PURGE_INTERVAL).await;
        if let Some(purged) = removed(bus.purge_finished().await, "finished calls") {
            debug!(purged, "finished calls were purged");
        }
        if let Some(removed) = removed(bus.keep_to_budgets().await, "results and dead letters beyond their budgets") {
            info!(removed, "the oldest results or dead letters were removed to keep to their budget");
        }
    }
}

/// Deletes the large bodies that other roles have no more use for.
async fn delete_discarded(bus: &Housekeeping) {
    loop {
        if let Err(error) = bus.delete_discarded().await {
            warn!(error = error.chain(), "discarded bodies cannot be followed; trying again");
        }
        sleep(PURGE_INTERVAL).await;
    }
}

/// Searches for large bodies that a process left behind when it ended.
async fn remove_orphans(bus: &Housekeeping) {
    loop {
        sleep(ORPHANS_INTERVAL).await;
        if let Some(removed) = removed(bus.keep_dead_bodies_to_budget().await, "dead letters beyond their budget") {
            info!(removed, "the oldest dead letters with large bodies were removed to keep to their budget");
        }
        if let Some(removed) = removed(bus.remove_orphaned_bodies(MIN_ORPHAN_AGE).await, "orphaned bodies") {
            info!(removed, "orphaned bodies were deleted");
        }
    }
}

/// Looks for delayed calls that the server has forgotten, a part of them each time.
async fn send_on_overdue(bus: &Housekeeping) {
    let mut calls = DelayedCalls::default();
    loop {
        sleep(OVERDUE_INTERVAL).await;
        match bus.send_on_overdue(&mut calls, MAX_OVERDUE_CHECKS, MIN_OVERDUE_AGE).await {
            Ok(0) => {}
            Ok(calls) => warn!(calls, "NATS did not move due calls; they were moved to their lanes"),
            Err(error) => warn!(error = error.chain(), "delayed calls cannot be checked; trying again"),
        }
    }
}

/// How many were removed, if any were.
fn removed(removed: Result<u64>, what: &str) -> Option<u64> {
    match removed {
        Ok(removed) => Some(removed).filter(|removed| *removed > 0),
        Err(error) => {
            warn!(error = error.chain(), what, "housekeeping failed; trying again");
            None
        }
    }
}
