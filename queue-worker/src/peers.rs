//! The other queue-workers: they share what the replicas of a function take.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use skep_protocol::FunctionName;
use tokio::time::{Instant, interval, sleep};
use tracing::{info, warn};

use crate::Worker;

const TELL_EVERY: Duration = Duration::from_secs(1);
/// A worker of which nothing was heard for so long is gone.
const GONE_AFTER: Duration = Duration::from_secs(4);
const TRY_AGAIN: Duration = Duration::from_millis(500);

pub(crate) struct Peers {
    /// This worker's own id.
    id: String,
    /// When each of the others was heard last.
    heard: Mutex<HashMap<String, Instant>>,
}

impl Default for Peers {
    fn default() -> Self {
        Self { id: format!("{:016x}", fastrand::u64(..)), heard: Mutex::default() }
    }
}

impl Peers {
    /// This worker's part of the calls of a function that may run at once. The parts of all workers together are `capacity`, but each has one at least: a replica refuses what is too much for it.
    pub(crate) fn share(&self, function: &FunctionName, capacity: usize) -> usize {
        let heard = self.heard();
        let workers = heard.len() + 1;
        // What cannot be divided goes to those whose turn it is with this function.
        let own = turn(function, &self.id);
        let before = heard.keys().filter(|id| turn(function, id) < own).count();
        let share = capacity / workers + usize::from(before < capacity % workers);
        share.max(usize::from(capacity > 0))
    }

    /// Whether the workers are others than before.
    fn hear(&self, id: String) -> bool {
        id != self.id && self.heard().insert(id, Instant::now()).is_none()
    }

    fn forget_silent(&self) -> bool {
        let mut heard = self.heard();
        let before = heard.len();
        heard.retain(|_, last| last.elapsed() < GONE_AFTER);
        heard.len() < before
    }

    fn heard(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn turn(function: &FunctionName, id: &str) -> (u64, String) {
    let mut hasher = DefaultHasher::new();
    (function.as_str(), id).hash(&mut hasher);
    (hasher.finish(), id.to_owned())
}

/// Tells the others of this worker and hears of them, until shutdown.
pub(crate) async fn run(worker: Arc<Worker>) {
    while !worker.shutdown.is_cancelled() {
        match worker.bus.hear_workers().await {
            Ok(told) => follow(&worker, told).await,
            Err(error) => {
                warn!(error = error.chain(), "other workers are not heard of; trying again");
                worker.shutdown.run_until_cancelled(sleep(TRY_AGAIN)).await;
            }
        }
    }
}

async fn follow(worker: &Worker, told: impl futures_util::Stream<Item = String>) {
    let (peers, mut told) = (worker.slots.peers(), pin!(told));
    let mut tell = interval(TELL_EVERY);
    loop {
        let has_changed = tokio::select! {
            () = worker.shutdown.cancelled() => return,
            id = told.next() => match id {
                Some(id) => peers.hear(id),
                None => return,
            },
            _ = tell.tick() => {
                // Whoever does not hear of it now hears of it a second later.
                let _ = worker.bus.tell_worker(&peers.id).await;
                peers.forget_silent()
            }
        };
        if has_changed {
            info!(workers = peers.heard().len() + 1, "the queue-workers are others than before");
            worker.slots.resize_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_workers_are_what_the_replicas_take() {
        let all: Vec<Peers> = (0..3).map(|_| Peers::default()).collect();
        for one in &all {
            for other in &all {
                one.hear(other.id.clone());
            }
        }
        for function in ["a", "b", "c", "d"].map(|name| name.parse().unwrap()) {
            for capacity in [0, 3, 4, 16, 100] {
                let shares: Vec<usize> = all.iter().map(|one| one.share(&function, capacity)).collect();
                assert_eq!(shares.iter().sum::<usize>(), capacity, "{shares:?}");
                assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
            }
            assert!(all.iter().all(|one| one.share(&function, 1) == 1), "whoever has the call can run it");
        }
    }
}
