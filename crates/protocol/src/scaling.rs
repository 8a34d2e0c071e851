//! How many replicas a function may have: what its labels say, and what follows from an alert.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{FunctionDeployment, Setting, SettingError, deployment::null_is_default};

/// The label that sets how many replicas a function starts with, and goes back to.
pub const SCALE_MIN: &str = "com.openfaas.scale.min";
/// The label that sets how many replicas alerts may make.
pub const SCALE_MAX: &str = "com.openfaas.scale.max";
/// The label that sets how many replicas an alert adds, in percent of the most.
pub const SCALE_FACTOR: &str = "com.openfaas.scale.factor";
/// The label that lets a function be scaled to zero when nobody uses it.
pub const SCALE_ZERO: &str = "com.openfaas.scale.zero";
/// The label that sets how long nobody must have used it.
pub const SCALE_ZERO_DURATION: &str = "com.openfaas.scale.zero-duration";

const DEFAULT_MAX: u64 = 20;
const DEFAULT_FACTOR: u64 = 20;
const DEFAULT_ZERO_DURATION: Duration = Duration::from_secs(15 * 60);
/// Use is reported every second, so a shorter time could miss it.
const MIN_ZERO_DURATION: Duration = Duration::from_secs(5);

/// The scaling labels of one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaling {
    /// Replicas at the start; 0 is allowed.
    pub min: u64,
    pub max: u64,
    /// Percent of `max`.
    pub factor: u64,
    /// How long nobody must have used the function before it is scaled to zero; `None` if it never is.
    pub zero_after: Option<Duration>,
}

/// What an alert says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertStatus {
    Firing,
    /// Over; whatever else is said counts as this.
    #[serde(other)]
    Resolved,
}

/// What Alertmanager posts to `/system/alert`.
#[derive(Clone, Debug, Deserialize)]
pub struct AlertWebhook {
    pub alerts: Vec<Alert>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Alert {
    pub status: AlertStatus,
    /// Only `function_name` counts.
    #[serde(default, deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
}

impl Scaling {
    /// Reads the labels.
    pub(crate) fn of(deployment: &FunctionDeployment) -> Result<Self, SettingError> {
        let [label_min, label_max, label_factor] = [SCALE_MIN, SCALE_MAX, SCALE_FACTOR].map(Setting::Label);
        let min: Option<u64> = label_min.whole_number(deployment)?;
        let max: Option<u64> = label_max.whole_number(deployment)?;
        let factor = label_factor.whole_number(deployment)?.unwrap_or(DEFAULT_FACTOR);
        if max == Some(0) {
            return Err(label_max.error("must be at least 1"));
        }
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            return Err(label_min.error(format!("is {min}, more than {SCALE_MAX}, which is {max}")));
        }
        if factor > 100 {
            return Err(label_factor.error(format!("is {factor}, not a number of percent up to 100")));
        }
        let zero_after = zero_after(deployment)?;
        // Equal numbers keep a function as it is.
        let is_fixed = min.is_some() && min == max;
        let min = min.unwrap_or(1);
        let max = max.unwrap_or_else(|| DEFAULT_MAX.max(min));
        Ok(Self { min: min.min(max), max, factor, zero_after: zero_after.filter(|_| !is_fixed) })
    }

    /// Replicas of a function that was asleep and is called.
    pub fn awake(&self) -> u64 {
        self.min.max(1)
    }

    /// Replicas after an alert. One that is over does not wake a function that is asleep.
    pub fn after_alert(&self, replicas: u64, status: AlertStatus) -> u64 {
        if self.min == self.max {
            return replicas;
        }
        let step = self.max.saturating_mul(self.factor).div_ceil(100);
        match status {
            AlertStatus::Firing if step > 0 => self.max.min(replicas.saturating_add(step)),
            AlertStatus::Firing | AlertStatus::Resolved if replicas == 0 => 0,
            AlertStatus::Firing | AlertStatus::Resolved => self.min,
        }
    }
}

impl Default for Scaling {
    fn default() -> Self {
        Self { min: 1, max: DEFAULT_MAX, factor: DEFAULT_FACTOR, zero_after: None }
    }
}

fn zero_after(deployment: &FunctionDeployment) -> Result<Option<Duration>, SettingError> {
    let (label, duration_label) = (Setting::Label(SCALE_ZERO), Setting::Label(SCALE_ZERO_DURATION));
    let duration = duration_label.duration(deployment)?.unwrap_or(DEFAULT_ZERO_DURATION);
    if duration < MIN_ZERO_DURATION {
        return Err(duration_label.error("must be at least 5s"));
    }
    match label.of(deployment).map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "false" | "0") => Ok(None),
        Some("true" | "1") => Ok(Some(duration)),
        Some(other) => Err(label.error(format!("{other:?} is neither true nor false"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaling(labels: &[(&str, &str)]) -> Result<Scaling, SettingError> {
        let labels = labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
        Scaling::of(&FunctionDeployment { labels, ..Default::default() })
    }

    #[test]
    fn labels_have_the_defaults_of_the_contract() {
        let found = scaling(&[]).unwrap();
        assert_eq!(found, Scaling { min: 1, max: 20, factor: 20, zero_after: None });
        assert_eq!(found, Scaling::default());
        let found = scaling(&[(SCALE_MIN, "30"), (SCALE_ZERO, "true")]).unwrap();
        assert_eq!((found.min, found.max, found.zero_after), (30, 30, Some(DEFAULT_ZERO_DURATION)));
        let found = scaling(&[(SCALE_ZERO, "true"), (SCALE_ZERO_DURATION, "1m30s")]).unwrap();
        assert_eq!(found.zero_after, Some(Duration::from_secs(90)));
        let fixed = scaling(&[(SCALE_MIN, "1"), (SCALE_MAX, "1"), (SCALE_ZERO, "true")]).unwrap();
        assert_eq!(fixed.zero_after, None, "equal numbers keep a function as it is");
    }

    #[test]
    fn a_label_that_cannot_be_is_named() {
        for (labels, named) in [
            (vec![(SCALE_MIN, "-1")], SCALE_MIN),
            (vec![(SCALE_MAX, "0")], SCALE_MAX),
            (vec![(SCALE_MAX, "1.5")], SCALE_MAX),
            (vec![(SCALE_MIN, "3"), (SCALE_MAX, "2")], SCALE_MIN),
            (vec![(SCALE_FACTOR, "101")], SCALE_FACTOR),
            (vec![(SCALE_ZERO, "perhaps")], SCALE_ZERO),
            (vec![(SCALE_ZERO_DURATION, "soon")], SCALE_ZERO_DURATION),
            (vec![(SCALE_ZERO_DURATION, "1s")], SCALE_ZERO_DURATION),
        ] {
            assert_eq!(scaling(&labels).unwrap_err().setting, Setting::Label(named));
        }
    }

    #[test]
    fn an_alert_adds_a_step_up_to_the_most_and_its_end_drops_to_the_least() {
        let check = |labels: &[(&str, &str)], replicas, firing, resolved| {
            let scaling = scaling(labels).unwrap();
            let found =
                [AlertStatus::Firing, AlertStatus::Resolved].map(|status| scaling.after_alert(replicas, status));
            assert_eq!(found, [firing, resolved], "{labels:?} at {replicas}");
        };
        check(&[], 1, 5, 1);
        check(&[], 18, 20, 1);
        check(&[], 0, 4, 0);
        check(&[(SCALE_MIN, "2"), (SCALE_MAX, "7"), (SCALE_FACTOR, "10")], 2, 3, 2);
        check(&[(SCALE_MAX, "2")], 1, 2, 1);
        check(&[(SCALE_FACTOR, "0")], 7, 1, 1);
        check(&[(SCALE_MIN, "2"), (SCALE_MAX, "2")], 2, 2, 2);
        check(&[(SCALE_MIN, "2"), (SCALE_MAX, "2")], 5, 5, 5);
    }

    #[test]
    fn only_status_and_function_of_an_alert_count() {
        let text = r#"{"receiver":"scale-up","status":"firing","alerts":[
            {"status":"firing","labels":{"alertname":"a","function_name":"figlet"},"startsAt":"now"},
            {"status":"silenced","labels":null}]}"#;
        let webhook: AlertWebhook = serde_json::from_str(text).unwrap();
        assert_eq!(webhook.alerts[0].status, AlertStatus::Firing);
        assert_eq!(webhook.alerts[0].labels["function_name"], "figlet");
        assert_eq!(webhook.alerts[1].status, AlertStatus::Resolved);
    }
}
