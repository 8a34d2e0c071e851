//! Permits per function: as many calls of it run at once as its live replicas take.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use skep_dispatch::{Function, Registry};
use skep_protocol::FunctionName;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use crate::Worker;

/// A call waits this long in the worker before it is given back, so that a stuck function does not fill a lane.
const PATIENCE: Duration = Duration::from_secs(1);
/// When calls of a function have lately waited longer than this, more of them are given back at once.
const CONGESTED: Duration = Duration::from_millis(250);
/// How many calls per slot may wait while a function is congested.
const WAITING_PER_SLOT: usize = 2;

pub(crate) struct Slots {
    registry: Registry,
    per_replica: usize,
    functions: Mutex<HashMap<FunctionName, Arc<FunctionSlots>>>,
}

impl Slots {
    pub(crate) fn new(registry: Registry, per_replica: usize) -> Self {
        Self { registry, per_replica: per_replica.max(1), functions: Mutex::default() }
    }

    /// Whether so many calls of a function wait already that another one should not.
    pub(crate) fn is_congested(&self, function: &Function) -> bool {
        self.of(function).is_congested()
    }

    /// A slot of a function; `None` if none came free in time.
    pub(crate) async fn acquire(&self, function: &Function) -> Option<Slot> {
        let slots = self.of(function);
        let waiting = Waiting::begin(&slots);
        let since = Instant::now();
        let permit = timeout(PATIENCE, Arc::clone(&slots.semaphore).acquire_owned()).await;
        slots.remember_wait(since.elapsed());
        drop(waiting);
        let permit = permit.ok()?.ok()?;
        Some(Slot { permit: Some(permit), slots })
    }

    fn of(&self, function: &Function) -> Arc<FunctionSlots> {
        let capacity = self.capacity(function);
        let slots = {
            // The map is only ever inserted into, so a poisoned lock is as good as a clean one.
            let mut functions = self.functions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            Arc::clone(functions.entry(function.name.clone()).or_default())
        };
        slots.resize(capacity);
        slots
    }

    fn capacity(&self, function: &Function) -> usize {
        function.replicas() * function.max_inflight.unwrap_or(self.per_replica)
    }

    fn resize_all(&self) {
        let known: Vec<_> = {
            let functions = self.functions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            functions.iter().map(|(name, slots)| (name.clone(), Arc::clone(slots))).collect()
        };
        for (name, slots) in known {
            slots.resize(self.registry.get(&name).map_or(0, |function| self.capacity(&function)));
        }
    }
}

/// Gives slots to waiting calls when replicas come, until shutdown.
pub(crate) async fn follow(worker: Arc<Worker>) {
    let mut changes = worker.dispatch.registry().changes();
    loop {
        tokio::select! {
            () = worker.shutdown.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
        worker.slots.resize_all();
    }
}

struct FunctionSlots {
    semaphore: Arc<Semaphore>,
    size: Mutex<Size>,
    waiting: AtomicU64,
    /// Milliseconds, averaged over the last few calls.
    recent_wait: AtomicU64,
}

impl Default for FunctionSlots {
    fn default() -> Self {
        Self {
            semaphore: Arc::new(Semaphore::new(0)),
            size: Mutex::default(),
            waiting: AtomicU64::default(),
            recent_wait: AtomicU64::default(),
        }
    }
}

#[derive(Default)]
struct Size {
    capacity: usize,
    /// Slots that are still in use although the capacity has shrunk below them.
    excess: usize,
}

impl FunctionSlots {
    fn resize(&self, capacity: usize) {
        let mut size = self.size.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if capacity > size.capacity {
            let more = capacity - size.capacity;
            let settled = more.min(size.excess);
            size.excess -= settled;
            self.semaphore.add_permits(more - settled);
        } else {
            let fewer = size.capacity - capacity;
            size.excess += fewer - self.semaphore.forget_permits(fewer);
        }
        size.capacity = capacity;
    }

    fn is_congested(&self) -> bool {
        if Duration::from_millis(self.recent_wait.load(Ordering::Relaxed)) < CONGESTED {
            return false;
        }
        let capacity = self.size.lock().map_or(0, |size| size.capacity);
        let bound = (capacity * WAITING_PER_SLOT).max(1) as u64;
        self.waiting.load(Ordering::Relaxed) >= bound
    }

    fn remember_wait(&self, wait: Duration) {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let before = self.recent_wait.load(Ordering::Relaxed);
        // Two calls at once may overwrite each other's share, which an average forgives.
        self.recent_wait.store((before * 3 + wait) / 4, Ordering::Relaxed);
    }
}

struct Waiting<'slots>(&'slots FunctionSlots);

impl<'slots> Waiting<'slots> {
    fn begin(slots: &'slots FunctionSlots) -> Self {
        slots.waiting.fetch_add(1, Ordering::Relaxed);
        Self(slots)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to run one call of a function now.
pub(crate) struct Slot {
    permit: Option<OwnedSemaphorePermit>,
    slots: Arc<FunctionSlots>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut size = self.slots.size.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(permit) = self.permit.take()
            && size.excess > 0
        {
            size.excess -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(slots: &Arc<FunctionSlots>) -> Option<Slot> {
        let permit = Arc::clone(&slots.semaphore).try_acquire_owned().ok()?;
        Some(Slot { permit: Some(permit), slots: Arc::clone(slots) })
    }

    #[test]
    fn slots_follow_the_capacity_up_and_down() {
        let slots = Arc::new(FunctionSlots::default());
        assert!(take(&slots).is_none());
        slots.resize(2);
        let (one, two) = (take(&slots).unwrap(), take(&slots).unwrap());
        assert!(take(&slots).is_none());
        slots.resize(1);
        drop(one);
        assert!(take(&slots).is_none(), "one is still in use and one is all there is");
        drop(two);
        let three = take(&slots).unwrap();
        assert!(take(&slots).is_none());
        slots.resize(0);
        slots.resize(2);
        assert!(take(&slots).is_some());
        drop(three);
        assert_eq!(slots.semaphore.available_permits(), 2);
    }

    #[test]
    fn a_congested_function_lets_no_more_calls_wait() {
        let slots = FunctionSlots::default();
        slots.resize(1);
        assert!(!slots.is_congested());
        for _ in 0..8 {
            slots.remember_wait(PATIENCE);
        }
        assert!(!slots.is_congested(), "nobody waits yet");
        let _waiting = [Waiting::begin(&slots), Waiting::begin(&slots)];
        assert!(slots.is_congested());
    }
}
