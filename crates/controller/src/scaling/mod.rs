//! How many replicas a function has after a wake, an alert, an update, or idle time. `usage.rs` knows when it was last used.

mod usage;

use std::time::Duration;

use skep_protocol::{AlertStatus, FunctionRecord, Scaling};

use crate::{Error, Result};

pub(crate) use self::usage::Usage;

/// The replicas of a function that is called while it has none; `None` if it has some.
pub(crate) fn after_wake(record: &FunctionRecord) -> Result<Option<u64>> {
    if record.replicas > 0 { Ok(None) } else { Ok(Some(scaling(record)?.awake())) }
}

/// The replicas that an alert asks for; `None` if it changes nothing.
pub(crate) fn after_alert(record: &FunctionRecord, status: AlertStatus) -> Result<Option<u64>> {
    let replicas = scaling(record)?.after_alert(record.replicas, status);
    Ok(Some(replicas).filter(|replicas| *replicas != record.replicas))
}

/// The replicas after an update: the minimum of the new labels, but not fewer than someone scaled up to.
pub(crate) fn after_update(record: &FunctionRecord, minimum: u64) -> u64 {
    let scaled = record.deployment.initial_replicas() != Ok(record.replicas);
    if scaled { record.replicas.max(minimum) } else { minimum }
}

/// How long a function must be idle until it is scaled to zero; `None` if it never is, or already was.
pub(crate) fn idle_timeout(record: &FunctionRecord) -> Option<Duration> {
    if record.replicas == 0 { None } else { scaling(record).ok()?.zero_after }
}

/// Labels are checked before they are written, so an invalid one comes from another version of skep.
fn scaling(record: &FunctionRecord) -> Result<Scaling> {
    Scaling::of(&record.deployment).map_err(Error::Invalid)
}

#[cfg(test)]
mod tests {
    use skep_protocol::{FunctionDeployment, SCALE_ZERO};
    use time::OffsetDateTime;

    use super::*;

    fn record(replicas: u64, labels: &[(&str, &str)]) -> FunctionRecord {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        FunctionRecord {
            deployment: FunctionDeployment { labels, ..FunctionDeployment::default() },
            replicas,
            endpoints: Vec::new(),
            created_at: OffsetDateTime::UNIX_EPOCH,
            problem: None,
        }
    }

    #[test]
    fn an_update_keeps_what_was_scaled_up_and_wakes_what_was_scaled_down() {
        assert_eq!(after_update(&record(1, &[]), 3), 3);
        assert_eq!(after_update(&record(5, &[]), 1), 5);
        assert_eq!(after_update(&record(0, &[]), 1), 1);
    }

    #[test]
    fn only_a_function_at_zero_is_woken_and_only_one_with_replicas_becomes_idle() {
        let zero = [(SCALE_ZERO, "true")];
        assert_eq!(after_wake(&record(0, &zero)).unwrap(), Some(1));
        assert_eq!(after_wake(&record(2, &zero)).unwrap(), None);
        assert!(idle_timeout(&record(1, &zero)).is_some());
        assert_eq!(idle_timeout(&record(0, &zero)), None);
        assert_eq!(idle_timeout(&record(1, &[])), None);
    }

    #[test]
    fn an_alert_that_changes_nothing_is_not_written() {
        assert_eq!(after_alert(&record(1, &[]), AlertStatus::Resolved).unwrap(), None);
        assert_eq!(after_alert(&record(1, &[]), AlertStatus::Firing).unwrap(), Some(5));
        assert_eq!(after_alert(&record(20, &[]), AlertStatus::Firing).unwrap(), None);
    }
}
