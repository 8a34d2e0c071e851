//! The other queue-workers: they share what the replicas of a function take, and know which calls they hold.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use skep_protocol::FunctionName;
use tokio::{
    sync::SetOnce,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};
use tracing::{info, warn};

use crate::Worker;

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// Own heartbeats that come back sooner after one another count as one: they waited together for NATS to come back.
const MIN_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(750);
/// A worker counts as gone when this many of our own heartbeats came back since its last one.
///
/// While NATS is away or stands still nothing comes back, so nobody is taken for gone because of that.
const MISSED_HEARTBEATS: u64 = 4;
/// The others answer a new worker's first heartbeat with one of their own within this time.
const INTRODUCTION_TIMEOUT: Duration = Duration::from_millis(250);
const RETRY_DELAY: Duration = Duration::from_millis(500);

pub(crate) struct Peers {
    /// This worker's own id.
    id: String,
    seen: Mutex<Seen>,
    /// When this worker received its own first heartbeat.
    began: SetOnce<Instant>,
}

#[derive(Default)]
struct Seen {
    /// Own heartbeats that came back, and when the last of them did.
    own: u64,
    own_at: Option<Instant>,
    /// The other workers, each with the count of own heartbeats at its last one.
    others: HashMap<String, u64>,
}

impl Default for Peers {
    fn default() -> Self {
        let id = format!("{:016x}", fastrand::u64(..));
        Self { id, seen: Mutex::default(), began: SetOnce::new() }
    }
}

impl Peers {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The ids of the other workers.
    pub(crate) fn others(&self) -> HashSet<String> {
        self.seen().others.keys().cloned().collect()
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.seen().others.contains_key(id)
    }

    /// Waits until the other workers are known.
    pub(crate) async fn introduced(&self) {
        sleep_until(*self.began.wait().await + INTRODUCTION_TIMEOUT).await;
    }

    /// This worker's part of the calls of a function that may run at once. The parts of all workers together are `capacity`, but each has one at least: a replica refuses what is too much for it.
    pub(crate) fn share(&self, function: &FunctionName, capacity: usize) -> usize {
        let seen = self.seen();
        let workers = seen.others.len() + 1;
        // What cannot be divided goes to those whose turn it is with this function.
        let own = turn(function, &self.id);
        let before = seen.others.keys().filter(|id| turn(function, id) < own).count();
        let share = capacity / workers + usize::from(before < capacity % workers);
        share.max(usize::from(capacity > 0))
    }

    /// Notes a heartbeat. Returns whether it is that of a worker that was not known.
    fn note_heartbeat(&self, id: String, now: Instant) -> bool {
        let mut seen = self.seen();
        if id == self.id {
            if seen.own_at.is_none_or(|last| now - last >= MIN_HEARTBEAT_INTERVAL) {
                seen.own += 1;
                seen.own_at = Some(now);
            }
            // It is set once.
            let _ = self.began.set(now);
            return false;
        }
        let own = seen.own;
        seen.others.insert(id, own).is_none()
    }

    fn forget_silent(&self) -> bool {
        let mut seen = self.seen();
        let (before, now) = (seen.others.len(), seen.own);
        seen.others.retain(|_, last| now - *last < MISSED_HEARTBEATS);
        seen.others.len() < before
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn turn(function: &FunctionName, id: &str) -> (u64, String) {
    let mut hasher = DefaultHasher::new();
    (function.as_str(), id).hash(&mut hasher);
    (hasher.finish(), id.to_owned())
}

/// Sends heartbeats and follows those of the other workers, until its last call has ended.
pub(crate) async fn run(worker: Arc<Worker>) {
    while !worker.gone.is_cancelled() {
        match worker.bus.workers.heartbeats().await {
            Ok(heartbeats) => follow(&worker, heartbeats).await,
            Err(error) => {
                warn!(error = error.chain(), "cannot subscribe to heartbeats of queue-workers; trying again");
                worker.gone.run_until_cancelled(sleep(RETRY_DELAY)).await;
            }
        }
    }
}

async fn follow(worker: &Worker, heartbeats: impl futures_util::Stream<Item = String>) {
    let (peers, mut heartbeats) = (worker.slots.peers(), pin!(heartbeats));
    let mut own = interval(HEARTBEAT_INTERVAL);
    own.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let has_changed = tokio::select! {
            () = worker.gone.cancelled() => return,
            id = heartbeats.next() => match id {
                Some(id) => {
                    let is_new = peers.note_heartbeat(id, Instant::now());
                    if is_new {
                        // The new worker does not know this one yet.
                        let _ = worker.bus.workers.heartbeat(&peers.id).await;
                    }
                    is_new
                }
                None => return,
            },
            _ = own.tick() => {
                // A worker that misses it gets the next one a second later.
                let _ = worker.bus.workers.heartbeat(&peers.id).await;
                peers.forget_silent()
            }
        };
        if has_changed {
            info!(workers = peers.seen().others.len() + 1, "queue-worker membership changed");
            worker.slots.resize_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_gone_when_only_our_own_heartbeats_come() {
        let (one, began) = (Peers::default(), Instant::now());
        let beat = |id: &str, seconds| one.note_heartbeat(id.to_owned(), began + Duration::from_secs(seconds));
        assert!(beat("other", 0));
        // NATS is away for a minute; then all heartbeats of that time come back at once.
        assert!(!one.forget_silent());
        for _ in 0..60 {
            beat(&one.id, 60);
        }
        for second in 1..MISSED_HEARTBEATS {
            assert!(!one.forget_silent() && one.has("other"));
            beat(&one.id, 60 + second);
        }
        assert!(one.forget_silent() && !one.has("other"));
    }

    #[test]
    fn the_shares_of_all_workers_are_what_the_replicas_take() {
        let all: Vec<Peers> = (0..3).map(|_| Peers::default()).collect();
        for one in &all {
            for other in &all {
                one.note_heartbeat(other.id.clone(), Instant::now());
            }
        }
        for function in ["a", "b", "c", "d"].map(|name| name.parse().unwrap()) {
            for capacity in [0, 3, 4, 16, 100] {
                let shares: Vec<usize> = all.iter().map(|one| one.share(&function, capacity)).collect();
                assert_eq!(shares.iter().sum::<usize>(), capacity, "{shares:?}");
                assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
            }
            assert!(all.iter().all(|one| one.share(&function, 1) == 1), "each worker can run a call that it has");
        }
    }
}
