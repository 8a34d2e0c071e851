//! How many replicas a function may have: what its labels say, and what follows from an alert.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use skep_scaling::{Kind, Policy};

use crate::{FunctionDeployment, Setting, SettingError, deployment::null_is_default, format_duration};

/// The label that sets how many replicas a function starts with, and goes back to.
pub const SCALE_MIN: &str = "com.openfaas.scale.min";
/// The label that sets how many replicas a function is scaled to at most.
pub const SCALE_MAX: &str = "com.openfaas.scale.max";
/// The label that sets how many replicas an alert adds, in percent of the most.
pub const SCALE_FACTOR: &str = "com.openfaas.scale.factor";
/// The label that lets a function be scaled to zero when nobody uses it.
pub const SCALE_ZERO: &str = "com.openfaas.scale.zero";
/// The label that sets how long nobody must have used it.
pub const SCALE_ZERO_DURATION: &str = "com.openfaas.scale.zero-duration";

/// The label that sets what the number of replicas follows.
pub const SCALE_TYPE: &str = "com.openfaas.scale.type";
/// The label that sets what one replica should have, in the unit of the type.
pub const SCALE_TARGET: &str = "com.openfaas.scale.target";
/// The label that sets which share of the target is aimed at.
pub const SCALE_PROPORTION: &str = "com.openfaas.scale.target-proportion";
/// The label that sets for how long fewer replicas must do before there are fewer.
pub const SCALE_DOWN_WINDOW: &str = "com.openfaas.scale.down.window";
/// The label that sets how long a call may wait before it begins.
pub const SCALE_WAIT: &str = "com.skep.scale.wait";

const DEFAULT_MAX: u64 = 20;
const DEFAULT_FACTOR: u64 = 20;
const DEFAULT_ZERO_DURATION: Duration = Duration::from_secs(15 * 60);
/// Use is reported every second, so a shorter time could miss it.
const MIN_ZERO_DURATION: Duration = Duration::from_secs(5);
const DEFAULT_TARGET: u32 = 50;
const DEFAULT_PERCENT: u8 = 90;
/// Calls that a replica runs at once where a function says nothing; as many queued ones run by default.
const DEFAULT_SLOTS: u32 = 16;
const DEFAULT_WAIT: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_secs(3600);
/// What was needed longer ago is not remembered.
const MAX_DOWN_WINDOW: Duration = Duration::from_secs(300);

/// The scaling labels of one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaling {
    /// What the number of replicas follows.
    pub kind: Kind,
    /// Replicas at the start; 0 is allowed.
    pub min: u64,
    pub max: u64,
    /// What one replica should have, in the unit of the kind.
    pub target: Option<u32>,
    /// Percent of `target` that are aimed at.
    pub percent: u8,
    /// How long a call may wait before it begins.
    pub wait: Duration,
    /// For how long fewer replicas must do before there are fewer; `None` is the kind's own.
    pub down_window: Option<Duration>,
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
        let kind = kind(deployment)?;
        let target = Setting::Label(SCALE_TARGET).whole_number(deployment)?;
        if target == Some(0) {
            return Err(Setting::Label(SCALE_TARGET).error("must be at least 1"));
        }
        let percent = percent(deployment)?;
        let wait = at_most(Setting::Label(SCALE_WAIT), deployment, MAX_WAIT)?.unwrap_or(DEFAULT_WAIT);
        if wait.is_zero() {
            return Err(Setting::Label(SCALE_WAIT).error("must be more than 0"));
        }
        let down_window = at_most(Setting::Label(SCALE_DOWN_WINDOW), deployment, MAX_DOWN_WINDOW)?;
        let zero_after = zero_after(deployment)?;
        // Equal numbers keep a function as it is.
        let is_fixed = min.is_some() && min == max;
        let min = min.unwrap_or(1);
        let max = max.unwrap_or_else(|| DEFAULT_MAX.max(min));
        let (min, zero_after) = (min.min(max), zero_after.filter(|_| !is_fixed));
        Ok(Self { kind, min, max, target, percent, wait, down_window, factor, zero_after })
    }

    /// Whether use changes the number of replicas, beside waking and idle time.
    pub fn is_automatic(&self) -> bool {
        self.kind != Kind::Alert && self.min != self.max
    }

    /// What a decision about replicas asks of the labels; `max_inflight` is how many calls a replica takes at once.
    pub fn policy(&self, max_inflight: Option<usize>) -> Policy {
        Policy {
            kind: self.kind,
            min: u32::try_from(self.min).unwrap_or(u32::MAX),
            max: u32::try_from(self.max).unwrap_or(u32::MAX),
            slots: self.slots(max_inflight),
            wait: self.wait,
            target: f64::from(self.target.unwrap_or(DEFAULT_TARGET)),
            proportion: f64::from(self.percent) / 100.0,
            down_window: self.down_window,
            ..Policy::default()
        }
    }

    /// Calls that a replica runs at once; `max_inflight` is the function's own limit.
    fn slots(&self, max_inflight: Option<usize>) -> u32 {
        let limit = max_inflight.and_then(|limit| u32::try_from(limit).ok());
        limit.or(self.target.filter(|_| self.kind == Kind::Auto)).unwrap_or(DEFAULT_SLOTS)
    }

    /// What one replica should have, in the unit of the kind; `None` where only alerts say.
    pub fn target_load(&self, max_inflight: Option<usize>) -> Option<u32> {
        match self.kind {
            Kind::Auto => Some(self.slots(max_inflight)),
            Kind::Rps | Kind::Capacity | Kind::Cpu | Kind::Queue => Some(self.target.unwrap_or(DEFAULT_TARGET)),
            Kind::Alert => None,
        }
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
        let (kind, percent, wait) = (Kind::Auto, DEFAULT_PERCENT, DEFAULT_WAIT);
        let (target, down_window, zero_after) = (None, None, None);
        let (min, max, factor) = (1, DEFAULT_MAX, DEFAULT_FACTOR);
        Self { kind, min, max, target, percent, wait, down_window, factor, zero_after }
    }
}

fn kind(deployment: &FunctionDeployment) -> Result<Kind, SettingError> {
    let label = Setting::Label(SCALE_TYPE);
    match label.of(deployment) {
        None | Some("") => Ok(Kind::Auto),
        Some(word) => word.parse::<Kind>().map_err(|error| label.error(error)),
    }
}

/// A share such as `0.9`, in percent.
fn percent(deployment: &FunctionDeployment) -> Result<u8, SettingError> {
    let label = Setting::Label(SCALE_PROPORTION);
    let Some(text) = label.of(deployment) else { return Ok(DEFAULT_PERCENT) };
    let share: Option<f64> = text.parse().ok().filter(|share| (0.01..=1.0).contains(share));
    let share = share.ok_or_else(|| label.error(format!("{text:?} is not a number from 0.01 to 1")))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 1 to 100")]
    Ok((share * 100.0).round() as u8)
}

fn at_most(label: Setting, deployment: &FunctionDeployment, limit: Duration) -> Result<Option<Duration>, SettingError> {
    match label.duration(deployment)? {
        Some(duration) if duration > limit => Err(label.error(format!("must be at most {}", format_duration(limit)))),
        duration => Ok(duration),
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
        assert_eq!((found.min, found.max, found.factor, found.zero_after), (1, 20, 20, None));
        assert_eq!(found, Scaling::default());
        assert_eq!(found.policy(None), Policy::default());
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
            (vec![(SCALE_TYPE, "memory")], SCALE_TYPE),
            (vec![(SCALE_TARGET, "0")], SCALE_TARGET),
            (vec![(SCALE_TARGET, "1.5")], SCALE_TARGET),
            (vec![(SCALE_PROPORTION, "0")], SCALE_PROPORTION),
            (vec![(SCALE_PROPORTION, "90")], SCALE_PROPORTION),
            (vec![(SCALE_DOWN_WINDOW, "6m")], SCALE_DOWN_WINDOW),
            (vec![(SCALE_WAIT, "0s")], SCALE_WAIT),
            (vec![(SCALE_WAIT, "2h")], SCALE_WAIT),
        ] {
            assert_eq!(scaling(&labels).unwrap_err().setting, Setting::Label(named));
        }
    }

    #[test]
    fn the_type_says_what_counts_and_an_unknown_one_is_told_all_of_them() {
        let found = scaling(&[
            (SCALE_TYPE, "rps"),
            (SCALE_TARGET, "10"),
            (SCALE_PROPORTION, "0.75"),
            (SCALE_DOWN_WINDOW, "0s"),
            (SCALE_WAIT, "200ms"),
        ]);
        let policy = found.unwrap().policy(Some(4));
        assert_eq!((policy.kind, policy.slots, policy.down_window), (Kind::Rps, 4, Some(Duration::ZERO)));
        assert!((policy.target * policy.proportion - 7.5).abs() < 1e-9 && policy.wait == Duration::from_millis(200));
        let auto = scaling(&[(SCALE_TYPE, "auto"), (SCALE_TARGET, "3")]).unwrap();
        assert_eq!((auto.policy(None).slots, auto.policy(Some(2)).slots), (3, 2));
        let error = scaling(&[(SCALE_TYPE, "memory")]).unwrap_err().to_string();
        assert!(Kind::ALL.iter().all(|kind| error.contains(kind.as_str())), "{error}");
        for (labels, expected) in
            [(vec![], true), (vec![(SCALE_TYPE, "alert")], false), (vec![(SCALE_MIN, "2"), (SCALE_MAX, "2")], false)]
        {
            assert_eq!(scaling(&labels).unwrap().is_automatic(), expected, "{labels:?}");
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
