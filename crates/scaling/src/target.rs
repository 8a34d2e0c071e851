//! The kinds that OpenFaaS Pro has: the sum over all replicas divided by what one of them should have.

use crate::{
    Kind, Observation, Policy, Reason,
    auto::{Demand, replicas},
    history::History,
};

/// Seconds that a mean covers.
const WINDOW: f64 = 10.0;

pub(crate) fn demand(history: &History, seen: &Observation, policy: &Policy) -> Demand {
    let sums = history.over(WINDOW);
    let value = match policy.kind {
        Kind::Rps => sums.per_second(sums.done),
        Kind::Cpu => sums.per_second(sums.cores) * 1000.0,
        Kind::Queue => seen.queued(),
        _ => sums.per_second(sums.busy),
    };
    let target = (policy.target * policy.proportion).max(0.001);
    let occupancy = if sums.done > 0.0 { sums.busy / sums.done } else { 0.0 };
    Demand {
        need: replicas(value / target),
        load: sums.per_second(sums.busy),
        occupancy,
        reason: Reason::Target { kind: policy.kind, value, target },
    }
}
