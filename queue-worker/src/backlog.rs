//! Backlogs of functions that cannot keep up: their calls leave the lane that they share with others, and are read from a queue of their own, as fast as the function takes them.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use skep_backoff::{Backoff, jittered};
use skep_bus::{Backlog, Delivery, Location, Place, Result};
use skep_protocol::{Call, FunctionName};
use tokio::{sync::OnceCell, task::JoinSet, time::sleep};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::Worker;

/// How often workers check for backlogs that others have begun.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// When a call that cannot be moved to its backlog is delivered again.
const DEFERRAL: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(8));
/// Functions with a backlog at the same time; calls of further ones stay in their lane.
const MAX_BACKLOGS: usize = 500;
/// Calls of one backlog that are held at once, running or not.
const MAX_HELD: usize = 256;
/// Checks in a row that find more waiting than is read, before the difference is searched for.
const MIN_UNREAD_CHECKS: u32 = 3;

/// The functions that have a backlog, as far as this worker knows.
pub(crate) struct Backlogs {
    known: Mutex<HashMap<FunctionName, Arc<Known>>>,
    tasks: TaskTracker,
}

#[derive(Default)]
struct Known {
    /// Its consumer exists, so what is moved here is read.
    is_open: OnceCell<()>,
    /// More waits than was taken, so new calls have to queue behind it.
    is_deep: AtomicBool,
    /// A call found no slot in time: there were not only many calls at once.
    is_stuck: AtomicBool,
}

/// Why a call leaves its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverflowReason {
    /// Others of its function wait already, or too many wait in this lane.
    Congested,
    /// It has waited and found no slot.
    NoSlot,
}

impl Backlogs {
    pub(crate) fn new(tasks: TaskTracker) -> Self {
        Self { known: Mutex::default(), tasks }
    }

    /// Whether calls of a function wait outside of this lane, so that new ones have to as well.
    pub(crate) fn is_backlogged(&self, function: &FunctionName, lane: Place) -> bool {
        let all = self.known();
        let Some(known) = all.get(function) else { return false };
        // In a lane for hot functions, many calls are normal.
        known.is_deep.load(Ordering::Relaxed) && (lane == Place::Lane || known.is_stuck.load(Ordering::Relaxed))
    }

    fn is_full_for(&self, function: &FunctionName) -> bool {
        let known = self.known();
        known.len() >= MAX_BACKLOGS && !known.contains_key(function)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<FunctionName, Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    /// Moves a call to the backlog of its function; a call that cannot be moved is given back to its lane.
    pub(crate) async fn overflow(self: &Arc<Self>, delivery: &Delivery<Call>, call: &Call, reason: OverflowReason) {
        let moved = async {
            if !self.open_backlog(&call.function, reason).await? {
                return Ok(false);
            }
            self.bus.queues.relocate(&delivery.leave(call), Location::Backlog).await?;
            // Its reader may have found the backlog empty meanwhile.
            self.open_backlog(&call.function, reason).await
        };
        match moved.await {
            Ok(true) => return delivery.ack().await,
            Ok(false) => {}
            Err(error) if !error.may_pass() => {
                let reason = format!("it cannot wait for its function: {}", error.chain());
                return self.dead_letter_call(delivery, call, &reason).await;
            }
            Err(error) => {
                warn!(error = error.chain(), "a call cannot be moved to its backlog; it stays in its lane");
            }
        }
        delivery.give_back(&self.bus.queues, call, jittered(DEFERRAL.after(delivery.delivered), fastrand::f64())).await;
    }

    /// Makes sure that the backlog of a function is read; `false` if too many functions have a backlog.
    async fn open_backlog(self: &Arc<Self>, function: &FunctionName, reason: OverflowReason) -> Result<bool> {
        if self.backlogs.is_full_for(function) {
            return Ok(false);
        }
        let known = self.begin_backlog(function);
        known.is_open.get_or_try_init(|| async { self.bus.queues.backlog(function).prepare().await }).await?;
        known.is_deep.store(true, Ordering::Relaxed);
        known.is_stuck.fetch_or(reason == OverflowReason::NoSlot, Ordering::Relaxed);
        Ok(true)
    }

    /// Begins to read a backlog, if it is not read already.
    fn begin_backlog(self: &Arc<Self>, function: &FunctionName) -> Arc<Known> {
        let mut all = self.backlogs.known();
        if let Some(known) = all.get(function) {
            return Arc::clone(known);
        }
        let known: Arc<Known> = Arc::default();
        all.insert(function.clone(), Arc::clone(&known));
        info!(%function, "a function cannot keep up; its calls overflow to its backlog");
        self.backlogs.tasks.spawn(Arc::clone(self).read_backlog(function.clone(), Arc::clone(&known)));
        known
    }

    /// Runs what waits for one function, until nothing does.
    async fn read_backlog(self: Arc<Self>, function: FunctionName, known: Arc<Known>) {
        let mut queue = self.bus.queues.backlog(&function);
        let mut held = JoinSet::new();
        while !self.shutdown.is_cancelled() {
            // As many again as run wait here, so that one that ends is followed at once.
            let capacity = self.slots.capacity_of(&function);
            let window = capacity.map_or(MAX_HELD, |capacity| (2 * capacity).clamp(1, MAX_HELD));
            while held.len() > window / 2 {
                held.join_next().await;
            }
            let room = window - held.len();
            match queue.next(room, &self.shutdown).await {
                Ok(deliveries) => {
                    // With the last one that waits, new calls are run from their lane again.
                    if deliveries.len() < room {
                        known.is_deep.store(false, Ordering::Relaxed);
                        known.is_stuck.store(false, Ordering::Relaxed);
                    }
                    if deliveries.is_empty() && held.is_empty() {
                        break;
                    }
                    for delivery in deliveries {
                        held.spawn(Arc::clone(&self).run_delivery(delivery));
                    }
                }
                Err(error) => {
                    warn!(error = error.chain(), %function, "a backlog cannot be read; trying again");
                    sleep(RETRY_DELAY).await;
                }
            }
            while held.try_join_next().is_some() {}
        }
        self.backlogs.known().remove(&function);
        while held.join_next().await.is_some() {}
        self.close_backlog(&function).await;
    }

    async fn close_backlog(&self, function: &FunctionName) {
        if let Err(error) = self.bus.queues.close_backlog(function).await {
            debug!(error = error.chain(), %function, "an empty backlog was not closed");
        }
    }
}

/// Looks for backlogs that others have left, until shutdown.
pub(crate) async fn run(worker: Arc<Worker>) {
    let mut look = Look::default();
    loop {
        if let Err(error) = look.check(&worker).await {
            warn!(error = error.chain(), "backlogs cannot be listed; trying again");
        }
        tokio::select! {
            () = worker.shutdown.cancelled() => return,
            () = sleep(CHECK_INTERVAL) => {}
        }
    }
}

/// What was seen before.
#[derive(Default)]
struct Look {
    empty: HashSet<FunctionName>,
    unread: u32,
}

impl Look {
    async fn check(&mut self, worker: &Arc<Worker>) -> Result<()> {
        let (backlogs, unread) = worker.bus.queues.backlogs().await?;
        let mut empty = HashSet::new();
        for Backlog { function, waiting, held, .. } in backlogs {
            if waiting + held > 0 {
                worker.begin_backlog(&function);
            } else if self.empty.contains(&function) {
                worker.close_backlog(&function).await;
            } else {
                empty.insert(function);
            }
        }
        self.empty = empty;
        // The counts are not of one moment, so a difference has to last.
        self.unread = if unread > 0 { self.unread + 1 } else { 0 };
        if self.unread >= MIN_UNREAD_CHECKS {
            self.unread = 0;
            for function in worker.bus.queues.functions_with_backlog().await? {
                worker.begin_backlog(&function);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlogs(known: impl IntoIterator<Item = (String, Known)>) -> Backlogs {
        let backlogs = Backlogs::new(TaskTracker::new());
        backlogs.known().extend(known.into_iter().map(|(name, known)| (name.parse().unwrap(), Arc::new(known))));
        backlogs
    }

    #[test]
    fn a_call_overflows_behind_a_backlog_that_is_deep_and_from_a_bulk_lane_only_if_one_found_no_slot() {
        let function = "slow".parse().unwrap();
        for (is_deep, is_stuck, from_lane, from_bulk_lane) in [
            (false, false, false, false),
            (false, true, false, false),
            (true, false, true, false),
            (true, true, true, true),
        ] {
            let known = Known { is_deep: is_deep.into(), is_stuck: is_stuck.into(), ..Known::default() };
            let backlogs = backlogs([("slow".to_owned(), known)]);
            let overflows = [Place::Lane, Place::BulkLane].map(|place| backlogs.is_backlogged(&function, place));
            assert_eq!(overflows, [from_lane, from_bulk_lane], "deep: {is_deep}, stuck: {is_stuck}");
            assert!(!backlogs.is_backlogged(&"other".parse().unwrap(), Place::Lane), "it is another function's");
        }
    }

    #[test]
    fn there_is_a_bound_for_backlogs_and_those_that_are_there_stay_open() {
        let all = |number| backlogs((0..number).map(|number| (format!("f-{number}"), Known::default())));
        let (known, new) = ("f-0".parse().unwrap(), "new".parse().unwrap());
        let full = |backlogs: &Backlogs| [backlogs.is_full_for(&known), backlogs.is_full_for(&new)];
        assert_eq!(full(&all(MAX_BACKLOGS - 1)), [false, false]);
        assert_eq!(full(&all(MAX_BACKLOGS)), [false, true]);
    }
}
