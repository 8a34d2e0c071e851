//! Two workers that have the same call: which of them runs it.

use crate::{
    requests::give_back,
    state::{Held, State, Step},
};

/// `Holders::has_another` and `HeldCalls`: the other worker answers that it holds the call, or yields to this one; `None` if this one gives it back.
pub(crate) fn ask(state: &mut State, held: &Held, is_answered: bool) -> Option<Step> {
    let other = state.workers.iter_mut().flatten().find(|other| other.is_of_call());
    let Some(other) = other else { return Some(Step::LookUp) };
    if !is_answered {
        state.budget.unanswered -= 1;
        state.was_unanswered = true;
        return Some(Step::LookUp);
    }
    if other.is_in_doubt() && held.worker < other.worker {
        other.has_yielded = true;
        return Some(Step::LookUp);
    }
    give_back(&mut state.server, held.place, held.sequence);
    None
}

/// Whether a run is under way, or over and what came of it not stored yet.
fn is_running(held: &Held) -> bool {
    match held.step {
        Step::Run | Step::Record(_) | Step::DeadLetter | Step::ParkLook | Step::ParkPut { .. } => true,
        Step::Lease | Step::LeaveLane => true,
        Step::ParkBack | Step::LeaveLaneForGood => false,
        Step::QueueLook | Step::QueuePut => false,
        Step::Ask | Step::LookUp | Step::Begin | Step::Overflow | Step::RemoveBacklogged { .. } => false,
        Step::ReturnToLane | Step::RemoveQueued { .. } | Step::Ack => false,
    }
}

/// A run begins; notes whether it should not have.
pub(crate) fn begin(state: &mut State) {
    let is_second = state.workers.iter().flatten().any(|other| other.is_of_call() && is_running(other));
    if !state.was_unanswered {
        state.ran_twice_at_once |= is_second;
        state.ran_after_record |= state.server.has_run();
    }
}
