//! A function that is decided about, and what is seen of it.

use std::time::Duration;

use skep_scaling::{Decision, Observation, Policy, State, decide};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A function, and the time.
pub(crate) struct Function {
    pub(crate) state: State,
    policy: Policy,
    pub(crate) now: Duration,
}

impl Function {
    pub(crate) fn new(policy: Policy) -> Self {
        Self { state: State::new(), policy, now: Duration::from_secs(100) }
    }

    /// The decision after this second.
    pub(crate) fn see(&mut self, seen: &Observation) -> Decision {
        self.now += SECOND;
        decide(&mut self.state, seen, &self.policy, self.now)
    }

    /// The decision after some seconds like this one.
    pub(crate) fn see_for(&mut self, seconds: u32, seen: &Observation) -> Decision {
        (1..seconds).for_each(|_| drop(self.see(seen)));
        self.see(seen)
    }
}

/// Calls of one second each that come in each second, on these replicas.
pub(crate) fn calls(per_second: f64, replicas: u32) -> Observation {
    Observation {
        arrived: per_second,
        busy: Duration::from_secs_f64(per_second),
        done: per_second,
        in_flight: per_second,
        longest: SECOND,
        ready: replicas,
        complete: true,
        ..Observation::default()
    }
}

pub(crate) fn idle(replicas: u32) -> Observation {
    Observation { longest: Duration::ZERO, ..calls(0.0, replicas) }
}

pub(crate) fn one_slot() -> Policy {
    Policy { slots: 1, max: 100, ..Policy::default() }
}
