//! The order of the rules.

use std::time::Duration;

use crate::{Decision, Kind, Observation, Policy, Reason, Room, State, auto, bounds, failures, target};

/// The down window of the kind `auto`; twice the start time, if that is longer.
const DOWN_WINDOW: Duration = Duration::from_secs(25);
/// A change by less than this share is not worth it while nothing waits.
const DEADBAND: f64 = 0.1;
/// What has waited longer than this share of the allowed time is late, nearly.
const LATE: f64 = 0.5;

/// The replicas that a function should have, from what was seen since the last decision.
///
/// `now` is the time since any fixed moment; `policy` may change from one decision to the next.
///
/// A function that has replicas never gets fewer than its minimum, or than one: scaling to zero is a matter of idle time.
/// A function without replicas is woken by what waits or is due.
pub fn decide(state: &mut State, seen: &Observation, policy: &Policy, now: Duration) -> Decision {
    state.see(seen, now);
    let demand = match policy.kind {
        Kind::Auto | Kind::Alert => auto::demand(state, seen, policy, now),
        _ => target::demand(&state.history, seen, policy),
    };
    state.need(demand.need, now);
    let need = demand.need;
    let choice = follow(state, seen, policy, now, (need, demand.reason));
    let choice = hesitate(state, seen, now, need, choice);
    let choice = bound(state, seen, policy, (need, demand.load), choice);
    let (want, reason) = overrule(state, seen, policy, now, choice);
    state.decided(want, now);
    let occupancy = Duration::try_from_secs_f64(demand.occupancy).unwrap_or_default();
    Decision { want, need, load: demand.load, occupancy, reason }
}

/// A number of replicas, and why.
type Choice = (u32, Reason);

/// Up at once, and down to the most that was needed in the down window.
fn follow(state: &State, seen: &Observation, policy: &Policy, now: Duration, (need, reason): Choice) -> Choice {
    let auto = policy.kind == Kind::Auto;
    let default = if auto { DOWN_WINDOW.max(policy.start * 2) } else { Duration::ZERO };
    let window = policy.down_window.unwrap_or(default);
    let wanted = if need > state.want { need } else { state.most_needed(window, now).min(state.want) };
    // A few large steps are better than many small ones.
    let small = auto && f64::from(wanted.abs_diff(state.want)) < (DEADBAND * f64::from(state.want)).floor();
    if wanted > state.want {
        let late = seen.age > policy.wait.mul_f64(LATE);
        return if small && !late { (state.want, Reason::Deadband { need }) } else { (wanted, reason) };
    }
    let soon = auto && state.down_since(now).is_some_and(|since| since < window);
    let wanted = if small || soon { state.want } else { wanted };
    if wanted > need { (wanted, Reason::Window { need }) } else { (wanted, reason) }
}

/// Not up while calls fail, and not down while something does not report.
fn hesitate(state: &mut State, seen: &Observation, now: Duration, need: u32, (want, reason): Choice) -> Choice {
    let failing = failures::share(state);
    if !seen.complete {
        // Until the end of a window after it.
        state.need(state.want, now);
    }
    match failing {
        Some(share) if want > state.want.max(1) => (state.want.max(1), Reason::Failing { share }),
        _ if !seen.complete && need < state.want => (state.want, Reason::Incomplete { need }),
        _ => (want, reason),
    }
}

/// What the function may have, and what there is room for.
fn bound(state: &mut State, seen: &Observation, policy: &Policy, demand: (u32, f64), choice: Choice) -> Choice {
    let (need, load) = demand;
    let min = policy.min.max(1);
    let max = policy.max.max(min);
    let (mut want, mut reason) = match choice.0 {
        want if want < min => (min, Reason::Minimum { load }),
        want if want > max => (max, Reason::Maximum { need, max }),
        _ => choice,
    };
    if let (Some(useful), Some(cores)) = (bounds::useful(state, seen, policy), policy.cores)
        && want > useful.max(min)
    {
        (want, reason) = (useful.max(min), Reason::Cores { need, cores });
    }
    let Some(Room { replicas, why }) = &seen.room else { return (want, reason) };
    let fit = replicas.map_or(want, |fit| want.min(fit));
    let needed = need.max(min);
    // More may be needed than are wanted, or some that are wanted have no place.
    let is_lacking = needed.min(want) > seen.ready.min(fit);
    if is_lacking { (fit, Reason::Room { need: needed, why: why.clone() }) } else { (fit, reason) }
}

/// What counts more than load: sleep, alerts, a fixed number, and people.
fn overrule(state: &State, seen: &Observation, policy: &Policy, now: Duration, choice: Choice) -> Choice {
    if let Some((replicas, left)) = state.held(now) {
        return (replicas, Reason::Held { left });
    }
    if seen.replicas() == 0 && seen.in_flight + seen.arrived + seen.queued() + seen.due <= 0.0 {
        return (0, Reason::Asleep);
    }
    if policy.min >= policy.max {
        return (policy.min, Reason::Static);
    }
    match state.raised(now) {
        Some((replicas, left)) if replicas > choice.0 => (replicas.min(policy.max), Reason::Raised { left }),
        _ if policy.kind == Kind::Alert => (seen.replicas(), Reason::Alerts),
        _ => choice,
    }
}
