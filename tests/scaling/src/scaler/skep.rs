//! skep's own, as the controller calls it.

use std::time::Duration;

use skep_scaling::{Decision, Observation, Policy, State, decide};

use super::{Limits, Scaler, View};

pub struct Skep {
    policy: Policy,
    state: State,
    /// The last decision.
    pub decision: Option<Decision>,
}

impl Skep {
    pub fn new(limits: Limits) -> Self {
        let Limits { slots, min, max } = limits;
        Self::with(Policy { slots, min, max, ..Policy::default() })
    }

    pub fn with(policy: Policy) -> Self {
        Self { policy, state: State::new(), decision: None }
    }
}

impl Scaler for Skep {
    fn period(&self) -> f64 {
        1.0
    }

    fn scale(&mut self, view: &View) -> u32 {
        if let Some(start) = view.start {
            self.policy.start = Duration::from_secs_f64(start);
        }
        let seen = Observation {
            arrived: view.arrived,
            busy: Duration::from_secs_f64(view.busy),
            done: view.done,
            in_flight: view.in_flight,
            longest: Duration::from_secs_f64(view.longest),
            held: view.queued,
            age: Duration::from_secs_f64(view.age),
            ready: view.ready,
            starting: view.starting,
            complete: true,
            ..Observation::default()
        };
        let decision = decide(&mut self.state, &seen, &self.policy, Duration::from_secs_f64(view.now));
        let want = decision.want;
        self.decision = Some(decision);
        want
    }
}
