//! How many replicas a function has after a wake, an alert, an update, or idle time. `usage.rs` knows when it was last used.

mod usage;

use std::time::Duration;

use skep_protocol::{AlertStatus, FunctionDeployment, FunctionPolicy, PolicyDefaults, Scaling};

pub(crate) use self::usage::Usage;

/// How a deployment that was checked scales.
pub(crate) fn scaling(deployment: &FunctionDeployment) -> Scaling {
    FunctionPolicy::of_deployed(deployment, &PolicyDefaults::default()).0.scaling
}

/// The replicas of a function that is called while it has none; `None` if it has some.
pub(crate) fn after_wake(scaling: &Scaling, replicas: u64) -> Option<u64> {
    (replicas == 0).then(|| scaling.awake())
}

/// The replicas that an alert asks for; `None` if it changes nothing.
pub(crate) fn after_alert(scaling: &Scaling, replicas: u64, status: AlertStatus) -> Option<u64> {
    Some(scaling.after_alert(replicas, status)).filter(|after| *after != replicas)
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
    fn only_a_function_at_zero_is_woken_and_only_one_with_replicas_becomes_idle() {
        let zero = of(&[(SCALE_ZERO, "true")]);
        assert_eq!(after_wake(&zero, 0), Some(1));
        assert_eq!(after_wake(&zero, 2), None);
        assert!(idle_timeout(&zero, 1).is_some());
        assert_eq!(idle_timeout(&zero, 0), None);
        assert_eq!(idle_timeout(&of(&[]), 1), None);
    }

    #[test]
    fn an_alert_that_changes_nothing_is_not_written() {
        let scaling = of(&[]);
        assert_eq!(after_alert(&scaling, 1, AlertStatus::Resolved), None);
        assert_eq!(after_alert(&scaling, 1, AlertStatus::Firing), Some(5));
        assert_eq!(after_alert(&scaling, 20, AlertStatus::Firing), None);
    }
}
