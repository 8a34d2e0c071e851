//! The kind `auto`: one rule for calls that wait for their answer and for queued ones.

use std::time::Duration;

use crate::{
    Observation, Policy, Reason, State,
    history::{History, MAX_LOOK_BACK},
    staff::Flow,
};

/// What a kind asks for.
#[derive(Debug)]
pub(crate) struct Demand {
    pub(crate) need: u32,
    pub(crate) load: f64,
    pub(crate) occupancy: f64,
    pub(crate) reason: Reason,
}

/// A need may exceed a whole number of replicas by this much.
const SLACK: f64 = 0.05;
/// What has waited less than this share of the allowed time needs no replica of its own.
const FRESH: f64 = 0.1;
/// Time that remains for a call that has waited too long already, as a share of the allowed time.
const MIN_LEFT: f64 = 0.25;
/// Seconds that the mean of arrivals covers, at least.
const MIN_WINDOW: f64 = 10.0;
/// Seconds until the next decision.
const PERIOD: f64 = 1.0;
/// Replicas to begin with, while nothing has run yet.
const FIRST_REPLICAS: f64 = 5.0;

pub(crate) fn demand(state: &State, seen: &Observation, policy: &Policy, now: Duration) -> Demand {
    let history = &state.history;
    let slots = f64::from(policy.slots.max(1));
    let wait = policy.wait.as_secs_f64();
    let occupancy = occupancy(history);
    let share = |calls: f64, left: f64| match occupancy {
        // A call needs one slot at most, and fewer where slots become free in time.
        Some(occupancy) => calls.min(calls * occupancy / left.max(0.001)),
        None => calls.min(FIRST_REPLICAS * slots),
    };
    // Replicas that are started now are ready then.
    let horizon = policy.start.as_secs_f64() + PERIOD;
    let flow = flow(history, seen.in_flight + share(seen.queued(), wait), occupancy.unwrap_or(0.0), horizon);
    let Queue { calls, age } = queue(state, seen, slots, occupancy.unwrap_or(0.0), now);
    let waits = calls > 0.0 && (age > FRESH * wait || seen.replicas() == 0);
    let begun = seen.in_flight + seen.queued() - calls;
    let queue = if waits { begun + share(calls, (wait - age).max(MIN_LEFT * wait)) } else { 0.0 };
    let due = if seen.due > 0.0 { seen.in_flight + share(seen.due, wait) } else { 0.0 };

    let load = flow.mean(horizon);
    let staff = flow.slots(horizon, wait);
    let reason = if queue > staff && queue >= due && seen.queued() <= 0.0 {
        Reason::Crowded { calls: seen.in_flight, slots: seen.ready.saturating_mul(policy.slots) }
    } else if queue > staff && queue >= due {
        Reason::Waiting { calls: seen.queued(), age: seen.age }
    } else if due > staff {
        Reason::Due { calls: seen.due }
    } else {
        Reason::Load { load, slots: policy.slots }
    };
    let need = replicas(staff.max(queue).max(due) / slots);
    Demand { need, load, occupancy: occupancy.unwrap_or(0.0), reason }
}

/// Calls that wait, and how long the oldest of them has waited, in seconds.
struct Queue {
    calls: f64,
    age: f64,
}

/// Where slots are a wish and not a limit, all calls run at once. Those beyond the slots count as if they waited, for as long as they would.
///
/// They may also run on replicas that were taken away; then none of them counts.
fn queue(state: &State, seen: &Observation, slots: f64, occupancy: f64, now: Duration) -> Queue {
    let places = f64::from(seen.ready) * slots;
    let is_drained = state.down_since(now).is_none_or(|since| since.as_secs_f64() > state.history.longest() + PERIOD);
    let beyond = if seen.ready > 0 && is_drained { (seen.in_flight - places).max(0.0) } else { 0.0 };
    let would_wait = if beyond > 0.0 { beyond * occupancy / places } else { 0.0 };
    Queue { calls: seen.queued() + beyond, age: seen.age.as_secs_f64().max(would_wait) }
}

/// How long a call holds its slot, in seconds: time in slots over completions.
///
/// While few have ended the quotient is too large, but no call takes longer than the longest one that was seen.
/// Where none has ended, a call takes at least as long as one has run; `None` if none runs either.
fn occupancy(history: &History) -> Option<f64> {
    let sums = history.enough();
    let longest = history.longest();
    if sums.done >= 1.0 { Some((sums.busy / sums.done).min(longest)) } else { Some(longest).filter(|_| longest > 0.0) }
}

/// What comes in, over as many seconds as matter until the horizon.
fn flow(history: &History, held: f64, occupancy: f64, horizon: f64) -> Flow {
    let sums = history.over((3.0 * occupancy.min(horizon)).clamp(MIN_WINDOW, MAX_LOOK_BACK));
    Flow { held, rate: sums.per_second(sums.arrived), occupancy }
}

/// Whole replicas.
pub(crate) fn replicas(need: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = (need - SLACK).ceil().clamp(0.0, f64::from(u32::MAX)) as u32;
    if need > 0.0 { whole.max(1) } else { 0 }
}
