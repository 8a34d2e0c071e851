//! Canaries: a new version beside the current one that takes a share of the calls, until it is promoted or rolled back.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    Endpoint, FunctionDeployment, FunctionRecord, FunctionVersion, Setting, SettingError, TrialFigures,
    registry::shared,
};

/// The annotation that makes each update a canary: the share of calls that a new version gets, such as `10%`, or `off`.
pub const CANARY: &str = "skep.canary";
/// The annotation that sets how many calls a canary must have had before it is judged.
pub const CANARY_MIN_CALLS: &str = "skep.canary.min-calls";
/// The annotation that sets how many percent of a canary's calls may fail beyond those of the current version.
pub const CANARY_MAX_ERRORS: &str = "skep.canary.max-errors";
/// The annotation that sets how many times as long as the current version a canary may take, or `off`.
pub const CANARY_MAX_LATENCY: &str = "skep.canary.max-latency";
/// The annotation that sets how long a canary runs before it is promoted, or `off`.
pub const CANARY_TIME: &str = "skep.canary.time";
/// The annotation that says whether calls that fail on a canary run again on the current version: `on` or `off`.
pub const CANARY_RERUN: &str = "skep.canary.rerun";

const DEFAULT_MIN_CALLS: u64 = 50;
const DEFAULT_MAX_ERRORS: u8 = 5;
const DEFAULT_MAX_LATENCY: Factor = Factor { hundredths: 200 };
const DEFAULT_TIME: Duration = Duration::from_secs(600);

/// A share of the calls, from 1 to 99 percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Share(u8);

/// Whether a deploy is a canary, and with which share; as text `10%` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CanaryMode {
    Off,
    Share(Share),
}

/// Why a text is neither a share nor `off`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a share of the calls: write 1% to 99%, or off")]
pub struct CanaryModeError(String);

/// A factor of at least 1, with two decimal places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor {
    pub hundredths: u32,
}

/// What the annotations of a function say about canaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanarySettings {
    /// What an update is that does not say itself whether it is a canary.
    pub mode: CanaryMode,
    /// Calls that fail on a canary run again on the current version.
    pub rerun: bool,
    pub limits: CanaryLimits,
}

/// By which a canary is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanaryLimits {
    /// Calls that a canary must have had.
    pub min_calls: u64,
    /// How many percent of its calls may fail beyond those of the current version.
    pub max_errors: u8,
    /// How many times as long as the current version it may take; `None` is any time.
    pub max_latency: Option<Factor>,
    /// How long it runs before it is promoted; `None` if only by hand.
    pub time: Option<Duration>,
}

/// What is wanted of a canary: a part of the function's spec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    pub version: FunctionVersion,
    #[serde(with = "shared")]
    pub deployment: Arc<FunctionDeployment>,
    pub share: Share,
}

/// What there is of a canary: a part of the function's status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CanaryStatus {
    /// The number of its version.
    pub version: u64,
    /// Replicas that have answered, and only those.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A canary as a list of functions reports it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryOverview {
    pub version: FunctionVersion,
    /// In percent.
    pub share: Share,
    /// Replicas that are wanted.
    pub replicas: u64,
    /// Replicas that have answered.
    pub available_replicas: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A canary with what was counted of it: `GET /system/function/{name}/canary`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryReport {
    #[serde(flatten)]
    pub canary: CanaryOverview,
    /// The version that takes the other calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_version: Option<u64>,
    /// What follows if nobody promotes it or rolls it back, in words.
    pub next: String,
    /// Calls that the canary took.
    pub new: TrialFigures,
    /// Calls that the current version took since the canary began.
    pub old: TrialFigures,
}

impl CanaryOverview {
    /// The canary of a function, if it has one.
    pub fn of(record: &FunctionRecord) -> Option<Self> {
        let Canary { version, share, .. } = record.canary.clone()?;
        let CanaryStatus { endpoints, problem, .. } = record.canary_status.clone().unwrap_or_default();
        let (replicas, available_replicas) = (share.of_replicas(record.replicas), endpoints.len() as u64);
        Some(Self { version, share, replicas, available_replicas, problem })
    }
}

impl Share {
    pub fn percent(self) -> u8 {
        self.0
    }

    /// How many replicas a canary has beside this number of the function's: at least one, and none if the function sleeps.
    pub fn of_replicas(self, replicas: u64) -> u64 {
        replicas.saturating_mul(self.0.into()).div_ceil(100)
    }
}

impl TryFrom<u8> for Share {
    type Error = CanaryModeError;

    fn try_from(percent: u8) -> Result<Self, CanaryModeError> {
        if (1..=99).contains(&percent) { Ok(Self(percent)) } else { Err(CanaryModeError(percent.to_string())) }
    }
}

impl From<Share> for u8 {
    fn from(share: Share) -> Self {
        share.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}%", self.0)
    }
}

impl FromStr for CanaryMode {
    type Err = CanaryModeError;

    fn from_str(text: &str) -> Result<Self, CanaryModeError> {
        let refused = || CanaryModeError(text.chars().take(40).collect());
        match text.trim() {
            // A YAML file may say it without quotes.
            "off" | "false" => Ok(Self::Off),
            share => {
                let percent: u8 = percent(share).ok_or_else(refused)?;
                Share::try_from(percent).map(Self::Share).map_err(|_| refused())
            }
        }
    }
}

impl fmt::Display for CanaryMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => formatter.write_str("off"),
            Self::Share(share) => share.fmt(formatter),
        }
    }
}

impl TryFrom<String> for CanaryMode {
    type Error = CanaryModeError;

    fn try_from(text: String) -> Result<Self, CanaryModeError> {
        text.parse()
    }
}

impl From<CanaryMode> for String {
    fn from(mode: CanaryMode) -> Self {
        mode.to_string()
    }
}

/// A whole number with or without the sign of percent.
fn percent(text: &str) -> Option<u8> {
    text.strip_suffix('%').unwrap_or(text).trim_end().parse().ok()
}

impl fmt::Display for Factor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", f64::from(self.hundredths) / 100.0)
    }
}

impl CanarySettings {
    pub(crate) fn of(deployment: &FunctionDeployment) -> Result<Self, SettingError> {
        let mode = Setting::Annotation(CANARY).parsed(deployment)?.unwrap_or(CanaryMode::Off);
        let rerun = Setting::Annotation(CANARY_RERUN).switch(deployment)?.unwrap_or(true);
        let limits = CanaryLimits {
            min_calls: min_calls(deployment)?,
            max_errors: max_errors(deployment)?,
            max_latency: max_latency(deployment)?,
            time: Setting::Annotation(CANARY_TIME).duration_or_off(deployment, DEFAULT_TIME)?,
        };
        Ok(Self { mode, rerun, limits })
    }
}

impl Default for CanarySettings {
    fn default() -> Self {
        let limits = CanaryLimits {
            min_calls: DEFAULT_MIN_CALLS,
            max_errors: DEFAULT_MAX_ERRORS,
            max_latency: Some(DEFAULT_MAX_LATENCY),
            time: Some(DEFAULT_TIME),
        };
        Self { mode: CanaryMode::Off, rerun: true, limits }
    }
}

fn min_calls(deployment: &FunctionDeployment) -> Result<u64, SettingError> {
    let setting = Setting::Annotation(CANARY_MIN_CALLS);
    match setting.whole_number(deployment)? {
        Some(0) => Err(setting.error("must be at least 1")),
        calls => Ok(calls.unwrap_or(DEFAULT_MIN_CALLS)),
    }
}

fn max_errors(deployment: &FunctionDeployment) -> Result<u8, SettingError> {
    let setting = Setting::Annotation(CANARY_MAX_ERRORS);
    let Some(text) = setting.of(deployment) else { return Ok(DEFAULT_MAX_ERRORS) };
    let percent = percent(text.trim()).filter(|percent| *percent <= 100);
    percent.ok_or_else(|| setting.error(format!("{text:?} is not a whole number of percent up to 100")))
}

fn max_latency(deployment: &FunctionDeployment) -> Result<Option<Factor>, SettingError> {
    let setting = Setting::Annotation(CANARY_MAX_LATENCY);
    match setting.of(deployment) {
        None => Ok(Some(DEFAULT_MAX_LATENCY)),
        Some("off" | "false") => Ok(None),
        Some(text) => {
            let factor = text.trim().parse().ok().filter(|factor| (1.0..=1000.0).contains(factor));
            let factor: f64 =
                factor.ok_or_else(|| setting.error(format!("{text:?} is not a factor from 1 to 1000, or off")))?;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in bounds")]
            let hundredths = (factor * 100.0).round() as u32;
            Ok(Some(Factor { hundredths }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(annotations: &[(&str, &str)]) -> Result<CanarySettings, SettingError> {
        let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        CanarySettings::of(&FunctionDeployment { annotations, ..Default::default() })
    }

    #[test]
    fn annotations_set_how_a_canary_is_judged() {
        assert_eq!(settings(&[]).unwrap(), CanarySettings::default());
        let found = settings(&[
            (CANARY, "10%"),
            (CANARY_MIN_CALLS, "7"),
            (CANARY_MAX_ERRORS, "0%"),
            (CANARY_MAX_LATENCY, "1.25"),
            (CANARY_TIME, "90s"),
            (CANARY_RERUN, "off"),
        ]);
        let found = found.unwrap();
        assert_eq!(found.mode.to_string(), "10%");
        let CanaryLimits { min_calls, max_errors, max_latency, time } = found.limits;
        assert_eq!((min_calls, max_errors, time), (7, 0, Some(Duration::from_secs(90))));
        assert_eq!(max_latency.unwrap().to_string(), "1.25");
        assert!(!found.rerun);
        let found = settings(&[(CANARY_MAX_LATENCY, "off"), (CANARY_TIME, "off"), (CANARY, "off")]).unwrap();
        assert_eq!((found.limits.max_latency, found.limits.time, found.mode), (None, None, CanaryMode::Off));
    }

    #[test]
    fn an_annotation_that_cannot_be_is_named() {
        for (key, value) in [
            (CANARY, "100%"),
            (CANARY, "0"),
            (CANARY, "some"),
            (CANARY_MIN_CALLS, "0"),
            (CANARY_MAX_ERRORS, "101"),
            (CANARY_MAX_LATENCY, "0.5"),
            (CANARY_MAX_LATENCY, "NaN"),
            (CANARY_TIME, "0s"),
            (CANARY_RERUN, "maybe"),
        ] {
            assert_eq!(settings(&[(key, value)]).unwrap_err().setting, Setting::Annotation(key), "{key}: {value}");
        }
    }

    #[test]
    fn a_canary_has_its_share_of_the_replicas_and_at_least_one() {
        let share: Share = 10.try_into().unwrap();
        assert_eq!([0, 1, 10, 11, 100].map(|replicas| share.of_replicas(replicas)), [0, 1, 1, 2, 10]);
        assert_eq!(serde_json::to_string(&CanaryMode::Share(share)).unwrap(), "\"10%\"");
        assert!(serde_json::from_str::<Share>("0").is_err());
    }
}
