//! How a function's calls are retried: a worker's defaults, and the function's annotations that override them.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use thiserror::Error;

use crate::{FunctionDeployment, Setting, SettingError};

/// Runs of one call, the first included.
pub const RETRY_ATTEMPTS: &str = "com.openfaas.retry.attempts";
/// Statuses of an answer that are tried again.
pub const RETRY_CODES: &str = "com.openfaas.retry.codes";
/// The wait after the first attempt, and the shortest that `Retry-After` can ask for.
pub const RETRY_MIN_WAIT: &str = "com.openfaas.retry.min_wait";
/// The longest wait that is computed.
pub const RETRY_MAX_WAIT: &str = "com.openfaas.retry.max_wait";
/// How waits grow, see [`Backoff`].
pub const RETRY_BACKOFF: &str = "skep.retry.backoff";
/// A call that is older is not tried again.
pub const RETRY_MAX_AGE: &str = "skep.retry.max_age";

const MAX_ATTEMPTS: u64 = 1000;

/// When a call is run again, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Runs of one call, the first included.
    pub attempts: u64,
    pub codes: RetryCodes,
    pub min_wait: Duration,
    pub max_wait: Duration,
    pub backoff: Backoff,
    /// From when the call was to run first; `None` is for ever.
    pub max_age: Option<Duration>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 10,
            codes: RetryCodes(vec![408, 429, 500, 502, 503, 504]),
            min_wait: Duration::from_secs(10),
            max_wait: Duration::from_secs(120),
            backoff: Backoff::Full,
            max_age: None,
        }
    }
}

impl RetryPolicy {
    /// This policy with what a function says otherwise.
    pub(crate) fn of(&self, deployment: &FunctionDeployment) -> Result<Self, SettingError> {
        let mut policy = self.clone();
        let setting = Setting::Annotation(RETRY_ATTEMPTS);
        if let Some(text) = setting.of(deployment) {
            policy.attempts = attempts(text).map_err(|reason| setting.error(reason))?;
        }
        if let Some(codes) = Setting::Annotation(RETRY_CODES).parsed(deployment)? {
            policy.codes = codes;
        }
        if let Some(backoff) = Setting::Annotation(RETRY_BACKOFF).parsed(deployment)? {
            policy.backoff = backoff;
        }
        let wait = |annotation| Setting::Annotation(annotation).positive_duration(deployment);
        let (min_wait, max_wait) = (wait(RETRY_MIN_WAIT)?, wait(RETRY_MAX_WAIT)?);
        if let (Some(min_wait), Some(max_wait)) = (min_wait, max_wait)
            && min_wait > max_wait
        {
            return Err(Setting::Annotation(RETRY_MIN_WAIT).error(format!("must not be more than {RETRY_MAX_WAIT}")));
        }
        policy.min_wait = min_wait.unwrap_or(policy.min_wait.min(max_wait.unwrap_or(Duration::MAX)));
        policy.max_wait = max_wait.unwrap_or(policy.max_wait).max(policy.min_wait);
        if let Some(max_age) = wait(RETRY_MAX_AGE)? {
            policy.max_age = Some(max_age);
        }
        Ok(policy)
    }

    /// This policy with annotations that hold for some calls only; what of them is not valid does not count.
    #[must_use]
    pub fn with(&self, annotations: &BTreeMap<String, String>) -> Self {
        let own = FunctionDeployment { annotations: annotations.clone(), ..FunctionDeployment::default() };
        self.of(&own).unwrap_or_else(|_| self.clone())
    }

    /// The wait after an attempt, counted from 1; `random` is from 0 up to 1.
    pub fn wait(&self, attempt: u64, random: f64) -> Duration {
        let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(31);
        let exponential = self.min_wait.saturating_mul(1 << doublings).min(self.max_wait);
        match self.backoff {
            Backoff::Exponential => exponential,
            Backoff::Full => exponential.mul_f64(random),
            Backoff::Equal => exponential.mul_f64(0.5 + random / 2.0),
            Backoff::Fixed => self.min_wait,
        }
    }
}

/// How the wait grows from one attempt to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    /// Doubled each time, from the shortest wait to the longest.
    Exponential,
    /// A random share of that, from nothing to all of it.
    Full,
    /// From a half to all of it.
    Equal,
    /// Always the shortest wait.
    Fixed,
}

impl Backoff {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exponential => "exponential",
            Self::Full => "full",
            Self::Equal => "equal",
            Self::Fixed => "fixed",
        }
    }
}

#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not one of exponential, full, equal and fixed")]
pub struct BackoffError(String);

impl FromStr for Backoff {
    type Err = BackoffError;

    fn from_str(text: &str) -> Result<Self, BackoffError> {
        match text.trim() {
            "exponential" => Ok(Self::Exponential),
            "full" => Ok(Self::Full),
            "equal" => Ok(Self::Equal),
            "fixed" => Ok(Self::Fixed),
            other => Err(BackoffError(other.chars().take(40).collect())),
        }
    }
}

/// HTTP statuses that are worth another attempt; none when the text is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryCodes(Vec<u16>);

#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a list of HTTP statuses from 400 to 599, such as 429,503")]
pub struct RetryCodesError(String);

impl RetryCodes {
    pub fn contain(&self, status: u16) -> bool {
        self.0.contains(&status)
    }
}

impl FromStr for RetryCodes {
    type Err = RetryCodesError;

    fn from_str(text: &str) -> Result<Self, RetryCodesError> {
        let mut codes = Vec::new();
        for code in text.split(',').map(str::trim).filter(|code| !code.is_empty()) {
            match code.parse() {
                Ok(status @ 400..=599) => codes.push(status),
                Ok(_) | Err(_) => return Err(RetryCodesError(text.chars().take(80).collect())),
            }
        }
        Ok(Self(codes))
    }
}

impl fmt::Display for RetryCodes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes: Vec<String> = self.0.iter().map(u16::to_string).collect();
        formatter.write_str(&codes.join(","))
    }
}

fn attempts(text: &str) -> Result<u64, String> {
    match text.trim().parse() {
        Ok(attempts @ 1..=MAX_ATTEMPTS) => Ok(attempts),
        Ok(_) | Err(_) => Err(format!("{text:?} is not a whole number from 1 to {MAX_ATTEMPTS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotated(pairs: &[(&str, &str)]) -> Result<RetryPolicy, SettingError> {
        let annotations = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        RetryPolicy::default().of(&FunctionDeployment { annotations, ..Default::default() })
    }

    #[test]
    fn annotations_change_what_they_name_and_nothing_else() {
        assert_eq!(annotated(&[("topic", "x")]).unwrap(), RetryPolicy::default());
        let policy = annotated(&[
            (RETRY_ATTEMPTS, "3"),
            (RETRY_CODES, "429, 503"),
            (RETRY_MIN_WAIT, "1s"),
            (RETRY_MAX_WAIT, "1m"),
            (RETRY_BACKOFF, "fixed"),
            (RETRY_MAX_AGE, "1h"),
        ]);
        let expected = RetryPolicy {
            attempts: 3,
            codes: RetryCodes(vec![429, 503]),
            min_wait: Duration::from_secs(1),
            max_wait: Duration::from_secs(60),
            backoff: Backoff::Fixed,
            max_age: Some(Duration::from_secs(3600)),
        };
        assert_eq!(policy.unwrap(), expected);
        assert_eq!(annotated(&[(RETRY_CODES, "")]).unwrap().codes.to_string(), "");
    }

    #[test]
    fn one_wait_alone_draws_the_other_along() {
        let longer = annotated(&[(RETRY_MIN_WAIT, "10m")]).unwrap();
        assert_eq!((longer.min_wait, longer.max_wait), (Duration::from_secs(600), Duration::from_secs(600)));
        let shorter = annotated(&[(RETRY_MAX_WAIT, "2s")]).unwrap();
        assert_eq!((shorter.min_wait, shorter.max_wait), (Duration::from_secs(2), Duration::from_secs(2)));
    }

    #[test]
    fn a_bad_annotation_is_named() {
        for (name, value) in [
            (RETRY_ATTEMPTS, "0"),
            (RETRY_ATTEMPTS, "1001"),
            (RETRY_ATTEMPTS, "many"),
            (RETRY_CODES, "5xx"),
            (RETRY_CODES, "200"),
            (RETRY_MIN_WAIT, "-1s"),
            (RETRY_MAX_WAIT, "0"),
            (RETRY_BACKOFF, "linear"),
            (RETRY_MAX_AGE, "long"),
        ] {
            let error = annotated(&[(name, value)]).unwrap_err();
            assert!(error.to_string().starts_with(&format!("annotation {name}: ")), "{error}");
        }
        let error = annotated(&[(RETRY_MIN_WAIT, "2m"), (RETRY_MAX_WAIT, "1m")]).unwrap_err();
        assert_eq!(error.setting.key(), RETRY_MIN_WAIT);
    }

    #[test]
    fn waits_grow_as_their_kind_says() {
        let seconds = |backoff, attempt, random| {
            RetryPolicy { backoff, ..RetryPolicy::default() }.wait(attempt, random).as_secs()
        };
        let exponential: Vec<u64> = (1..=6).map(|attempt| seconds(Backoff::Exponential, attempt, 0.0)).collect();
        assert_eq!(exponential, [10, 20, 40, 80, 120, 120]);
        assert_eq!((seconds(Backoff::Full, 2, 0.0), seconds(Backoff::Full, 2, 0.5)), (0, 10));
        assert_eq!((seconds(Backoff::Equal, 2, 0.0), seconds(Backoff::Equal, 2, 0.5)), (10, 15));
        assert_eq!((seconds(Backoff::Fixed, 1, 0.9), seconds(Backoff::Fixed, 9, 0.9)), (10, 10));
        assert_eq!(seconds(Backoff::Exponential, u64::MAX, 0.0), 120);
    }
}
