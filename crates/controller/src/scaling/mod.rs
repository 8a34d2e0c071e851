//! How many replicas a function has: after a wake, an alert, an update or idle time, and from second to second.
//!
//! `loads.rs` adds up what is reported of each function, `upcoming.rs` knows what comes due, `seconds.rs` passes it on each second, and `scaler.rs` decides about one function, in its task.

mod arrivals;
mod loads;
mod metrics;
mod recorder;
mod scaler;
mod seconds;
mod starts;
mod upcoming;

use std::time::Duration;

use skep_protocol::{FunctionDeployment, FunctionPolicy, PolicyDefaults, Scaling};

pub(crate) use self::{
    loads::{Load, Loads},
    metrics::ScalingMetrics,
    recorder::Recorder,
    scaler::{Autoscale, Present, Scaler},
    seconds::Seconds,
    upcoming::Upcoming,
};

/// How a deployment that was checked scales.
pub(crate) fn scaling(deployment: &FunctionDeployment) -> Scaling {
    policy(deployment).scaling
}

/// The settings of a deployment that was checked, as far as the platform's defaults do not matter.
pub(crate) fn policy(deployment: &FunctionDeployment) -> FunctionPolicy {
    FunctionPolicy::of_deployed(deployment, &PolicyDefaults::default()).0
}

/// The replicas after an update: the minimum of the new labels, but not fewer than someone scaled up to.
pub(crate) fn after_update(former: &Scaling, replicas: u64, minimum: u64) -> u64 {
    if replicas == former.min { minimum } else { replicas.max(minimum) }
}

/// How long a function must be idle until it is scaled to zero; `None` if it never is, or already was.
pub(crate) fn idle_timeout(scaling: &Scaling, replicas: u64) -> Option<Duration> {
    if replicas == 0 { None } else { scaling.zero_after }
}

#[cfg(test)]
mod tests {
    use skep_protocol::SCALE_ZERO;

    use super::*;

    fn of(labels: &[(&str, &str)]) -> Scaling {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        scaling(&FunctionDeployment { labels, ..FunctionDeployment::default() })
    }

    #[test]
    fn an_update_keeps_what_was_scaled_up_and_wakes_what_was_scaled_down() {
        let scaling = of(&[]);
        assert_eq!(after_update(&scaling, 1, 3), 3);
        assert_eq!(after_update(&scaling, 5, 1), 5);
        assert_eq!(after_update(&scaling, 0, 1), 1);
    }

    #[test]
    fn only_a_function_with_replicas_becomes_idle() {
        let zero = of(&[(SCALE_ZERO, "true")]);
        assert!(idle_timeout(&zero, 1).is_some());
        assert_eq!(idle_timeout(&zero, 0), None);
        assert_eq!(idle_timeout(&of(&[]), 1), None);
    }
}
