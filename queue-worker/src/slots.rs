//! Slots per function: all workers together run as many of its calls at once as its live replicas take.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use skep_dispatch::{Function, Registry};
use skep_protocol::FunctionName;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{Worker, peers::Peers};

/// How many calls per slot may wait for one.
const WAITING_PER_SLOT: usize = 2;
/// How many calls may wait, however few slots there are.
const MIN_WAITING: usize = 32;

pub(crate) struct Slots {
    registry: Registry,
    per_replica: usize,
    peers: Peers,
    functions: Mutex<HashMap<FunctionName, Arc<FunctionSlots>>>,
}

impl Slots {
    pub(crate) fn new(registry: Registry, per_replica: usize) -> Self {
        Self { registry, per_replica: per_replica.max(1), peers: Peers::default(), functions: Mutex::default() }
    }

    /// With whom they are shared.
    pub(crate) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Whether too many calls of a function wait already.
    pub(crate) fn is_congested(&self, function: &Function) -> bool {
        self.of(function).is_congested()
    }

    /// A slot of a function, which is woken first; `None` if none came free in time.
    pub(crate) async fn acquire(
        &self,
        function: &Function,
        wake: impl Future<Output = ()>,
        patience: Duration,
    ) -> Option<Slot> {
        let slots = self.of(function);
        let waiting = (Waiting::begin(&slots), function.waits());
        wake.await;
        let permit = timeout(patience, Arc::clone(&slots.semaphore).acquire_owned()).await;
        drop(waiting);
        let permit = permit.ok()?.ok()?;
        Some(Slot { permit: Some(permit), slots })
    }

    /// How many calls of a function may run at once here now; `None` if there is no such function.
    pub(crate) fn capacity_of(&self, name: &FunctionName) -> Option<usize> {
        self.registry.get(name).map(|function| self.capacity(&function))
    }

    fn of(&self, function: &Function) -> Arc<FunctionSlots> {
        // The replicas may have changed since the function was looked up.
        let capacity = self.capacity_of(&function.name).unwrap_or(0);
        let slots = {
            // The map is only ever inserted into, so a poisoned lock is as good as a clean one.
            let mut functions = self.functions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            Arc::clone(functions.entry(function.name.clone()).or_default())
        };
        slots.resize(capacity);
        slots
    }

    fn capacity(&self, function: &Function) -> usize {
        self.peers.share(&function.name, function.replicas() * function.policy.max_inflight.unwrap_or(self.per_replica))
    }

    pub(crate) fn resize_all(&self) {
        let known: Vec<_> = {
            let functions = self.functions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            functions.iter().map(|(name, slots)| (name.clone(), Arc::clone(slots))).collect()
        };
        for (name, slots) in known {
            slots.resize(self.capacity_of(&name).unwrap_or(0));
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
    waiting: AtomicUsize,
}

impl Default for FunctionSlots {
    fn default() -> Self {
        Self { semaphore: Arc::new(Semaphore::new(0)), size: Mutex::default(), waiting: AtomicUsize::default() }
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
        let capacity = self.size.lock().map_or(0, |size| size.capacity);
        self.waiting.load(Ordering::Relaxed) >= (capacity * WAITING_PER_SLOT).max(MIN_WAITING)
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
        let waiting: Vec<_> = (0..MIN_WAITING).map(|_| Waiting::begin(&slots)).collect();
        assert!(slots.is_congested());
        slots.resize(MIN_WAITING);
        assert!(!slots.is_congested(), "with more slots more may wait");
        drop(waiting);
    }
}
