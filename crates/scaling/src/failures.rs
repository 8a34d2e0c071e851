//! A function that fails quickly does not work better with more replicas.

use crate::{history::Sums, state::State};

/// Seconds that are looked at.
const WINDOW: f64 = 60.0;
/// Calls that must have ended in them.
const MIN_CALLS: f64 = 50.0;
/// The share of failures at which it is not scaled up.
const MAX_FAILED: f64 = 0.5;
/// The share of failures below which its calls are as usual.
const FEW_FAILED: f64 = 0.1;
/// Failures are quick if calls hold their slots for less than this share of the usual time.
const QUICK: f64 = 0.5;

/// The share of calls that fail, if there are many and they fail quickly.
///
/// Failures that take as long as good calls do, or longer, may well come from too few replicas.
pub(crate) fn share(state: &mut State) -> Option<f64> {
    let sums = state.history.over(WINDOW);
    let newest = state.history.enough();
    if newest.done <= 0.0 {
        return None;
    }
    let occupancy = newest.busy / newest.done;
    if newest.failed <= FEW_FAILED * newest.done {
        state.usual_occupancy = Some(occupancy);
        return None;
    }
    let quick = state.usual_occupancy.is_none_or(|usual| occupancy < QUICK * usual);
    let Sums { done, failed, .. } = if newest.done >= MIN_CALLS { newest } else { sums };
    (done >= MIN_CALLS && failed > MAX_FAILED * done && quick).then(|| failed / done)
}
