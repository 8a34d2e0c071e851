//! Calls that were held for a function at zero: they do not all go to the first replica that comes.
//!
//! Each takes a place, and there are as many places as the replicas have slots. Quick calls pass their places on; slow ones wait for more replicas, which the controller starts because they wait.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use skep_protocol::FunctionName;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{Function, Registry};

/// A call waits no longer for a place, and then goes to the replicas that there are.
const PATIENCE: Duration = Duration::from_secs(5);

/// A call has it until its answer begins.
pub(crate) type Place = OwnedSemaphorePermit;

/// The held calls of one function.
pub(crate) struct Herd {
    places: Arc<Semaphore>,
    /// How many places there are, taken ones included.
    count: Mutex<usize>,
}

impl Default for Herd {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(0)), count: Mutex::default() }
    }
}

impl Herd {
    /// Waits for a place; `None` if it is not worth waiting for.
    pub(crate) async fn place(&self, registry: &Registry, name: &FunctionName) -> Option<Place> {
        let mut changes = registry.changes();
        let found = timeout(PATIENCE, async {
            loop {
                changes.borrow_and_update();
                let function = registry.get(name)?;
                self.grow(slots(&function));
                if !may_grow(&function) {
                    return None;
                }
                tokio::select! {
                    place = Arc::clone(&self.places).acquire_owned() => return place.ok(),
                    changed = changes.changed() => changed.ok()?,
                }
            }
        });
        found.await.ok().flatten()
    }

    fn grow(&self, count: usize) {
        let mut known = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        self.places.add_permits(count.saturating_sub(*known));
        *known = count.max(*known);
    }
}

/// The calls that all replicas of a function take at once.
fn slots(function: &Function) -> usize {
    let policy = &function.policy;
    let slots = usize::try_from(policy.scaling.policy(policy.max_inflight).slots).unwrap_or(usize::MAX);
    function.replicas().saturating_mul(slots).min(Semaphore::MAX_PERMITS)
}

/// Whether more replicas come, or may come.
fn may_grow(function: &Function) -> bool {
    let (record, scaling) = (&function.record, &function.policy.scaling);
    let are_missing = (function.replicas() as u64) < record.replicas;
    are_missing || scaling.is_automatic() && record.replicas < scaling.max
}

/// Something that the calls of one function share while there are some.
pub(crate) struct Shared<T>(Mutex<HashMap<FunctionName, Weak<T>>>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Default> Shared<T> {
    pub(crate) fn of(&self, name: &FunctionName) -> Arc<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = all.get(name).and_then(Weak::upgrade) {
            return shared;
        }
        // What nobody has any more goes, so that there are as many as functions that are waited for.
        all.retain(|_, shared| shared.strong_count() > 0);
        let shared = Arc::new(T::default());
        all.insert(name.clone(), Arc::downgrade(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn there_are_as_many_places_as_slots_and_each_is_passed_on() {
        let herd = Herd::default();
        let free = || herd.places.available_permits();
        herd.grow(2);
        let place = Arc::clone(&herd.places).acquire_owned().await.unwrap();
        assert_eq!(free(), 1);
        herd.grow(4);
        herd.grow(3);
        assert_eq!(free(), 3);
        drop(place);
        assert_eq!(free(), 4);
    }

    #[test]
    fn what_is_shared_lasts_as_long_as_someone_has_it() {
        let shared = Shared::<Herd>::default();
        let name = "cat".parse().unwrap();
        let one = shared.of(&name);
        assert!(Arc::ptr_eq(&one, &shared.of(&name)));
        drop(one);
        shared.of(&"dog".parse().unwrap());
        assert_eq!(shared.0.lock().unwrap().len(), 1);
    }
}
