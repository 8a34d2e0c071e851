//! The calls that this worker holds, from delivery to ack. They may run, wait for a slot, or wait until their result is stored.
//!
//! Other workers ask about them, and callers may cancel them meanwhile.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
};

use skep_protocol::CallId;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
pub(crate) struct HeldCalls {
    calls: Mutex<HashMap<CallId, Call>>,
}

#[derive(Default)]
struct Call {
    cancelled: CancellationToken,
    /// Deliveries of the same call at the same time.
    deliveries: usize,
    /// Those of them that are in doubt: this worker is finding out whether another one holds the call.
    in_doubt: usize,
    /// Another worker that goes first asked about the call while it was in doubt.
    has_yielded: bool,
}

impl Call {
    fn is_certain(&self) -> bool {
        self.deliveries > self.in_doubt
    }
}

/// One delivery of a call; dropping it lets the call go.
pub(crate) struct HeldCall<'worker> {
    /// Cancelled when the call is.
    pub(crate) cancelled: CancellationToken,
    id: CallId,
    is_in_doubt: bool,
    calls: &'worker HeldCalls,
}

impl HeldCalls {
    pub(crate) fn hold(&self, id: &CallId) -> HeldCall<'_> {
        let mut calls = self.calls();
        let call = calls.entry(id.clone()).or_default();
        call.deliveries += 1;
        HeldCall { cancelled: call.cancelled.clone(), id: id.clone(), is_in_doubt: false, calls: self }
    }

    pub(crate) fn cancel(&self, id: &CallId) {
        if let Some(call) = self.calls().get(id) {
            call.cancelled.cancel();
        }
    }

    /// Which of these calls this worker holds, as another worker asks. Of two that are in doubt about a call, one goes first.
    pub(crate) fn held_of(&self, asked: Vec<CallId>, other_goes_first: bool) -> Vec<CallId> {
        let mut calls = self.calls();
        let mut is_held = |id: &CallId| {
            let Some(call) = calls.get_mut(id) else { return false };
            if call.is_certain() || !other_goes_first {
                return true;
            }
            call.has_yielded = true;
            false
        };
        asked.into_iter().filter(|id| is_held(id)).collect()
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<CallId, Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldCall<'_> {
    /// From now on it is not certain that this delivery may run the call. Returns whether another delivery here has it already.
    pub(crate) fn doubt(&mut self) -> bool {
        let mut calls = self.calls.calls();
        let Some(call) = calls.get_mut(&self.id) else { return false };
        if !std::mem::replace(&mut self.is_in_doubt, true) {
            // What another delivery has yielded stays so until it is dropped.
            call.has_yielded &= call.in_doubt > 0;
            call.in_doubt += 1;
        }
        call.deliveries > 1
    }

    /// Ends the doubt. Returns whether this delivery may run the call; it may not if another worker that goes first has asked meanwhile.
    pub(crate) fn settle(&mut self) -> bool {
        let mut calls = self.calls.calls();
        let Some(call) = calls.get_mut(&self.id) else { return false };
        if call.has_yielded {
            return false;
        }
        if std::mem::take(&mut self.is_in_doubt) {
            call.in_doubt -= 1;
        }
        true
    }
}

impl Drop for HeldCall<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.calls.calls().entry(self.id.clone()) {
            let call = entry.get_mut();
            call.deliveries -= 1;
            call.in_doubt -= usize::from(self.is_in_doubt);
            if call.deliveries == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_held_as_long_as_any_delivery_of_it() {
        let (calls, id) = (HeldCalls::default(), CallId::generate());
        calls.cancel(&id);
        let first = calls.hold(&id);
        drop(calls.hold(&id));
        assert!(!first.cancelled.is_cancelled());
        calls.cancel(&id);
        assert!(first.cancelled.is_cancelled());
        drop(first);
        assert!(calls.calls().is_empty());
        assert!(!calls.hold(&id).cancelled.is_cancelled(), "a new call of the same id is another one");
    }

    #[test]
    fn of_two_workers_in_doubt_exactly_one_runs_the_call() {
        let id = CallId::generate();
        let asked = || vec![id.clone()];
        // In whatever order the two ask, answer and settle.
        for second_asks_late in [false, true] {
            let (first, second) = (HeldCalls::default(), HeldCalls::default());
            let (mut of_first, mut of_second) = (first.hold(&id), second.hold(&id));
            assert!(!of_first.doubt() && !of_second.doubt());
            let of_second_before = (!second_asks_late).then(|| first.held_of(asked(), false));
            let answers_to_first = second.held_of(asked(), true);
            let first_runs = answers_to_first.is_empty() && of_first.settle();
            let answers_to_second = of_second_before.unwrap_or_else(|| first.held_of(asked(), false));
            let second_runs = answers_to_second.is_empty() && of_second.settle();
            assert_eq!((first_runs, second_runs), (true, false));
        }
    }

    #[test]
    fn a_second_delivery_does_not_take_back_what_the_first_has_yielded() {
        let (calls, id) = (HeldCalls::default(), CallId::generate());
        let mut first = calls.hold(&id);
        assert!(!first.doubt());
        assert_eq!(calls.held_of(vec![id.clone()], true), []);
        let mut second = calls.hold(&id);
        assert!(second.doubt() && !first.settle() && !second.settle());
        drop((first, second));
        let mut third = calls.hold(&id);
        assert!(!third.doubt() && third.settle());
    }

    #[test]
    fn a_call_that_is_held_for_certain_yields_to_nobody() {
        let (calls, id) = (HeldCalls::default(), CallId::generate());
        let certain = calls.hold(&id);
        let mut repeated = calls.hold(&id);
        assert!(repeated.doubt(), "another delivery here has it");
        assert_eq!(calls.held_of(vec![id.clone()], true).len(), 1);
        drop(certain);
        assert_eq!(calls.held_of(vec![id.clone()], true), []);
        assert!(!repeated.settle());
        drop(repeated);
        assert_eq!(calls.held_of(vec![id], false), []);
    }
}
