//! How many calls may wait for a function: what its annotations say.

use std::time::Duration;

use crate::{FunctionDeployment, Setting, SettingError, parse_size};

/// The annotation that sets how many calls may wait for a function.
pub const QUEUE_MAX_DEPTH: &str = "skep.queue.max-depth";
/// The annotation that sets how long the first call that waits may have waited.
pub const QUEUE_MAX_AGE: &str = "skep.queue.max-age";
/// The annotation that sets how many bytes may wait for a function.
pub const QUEUE_MAX_BYTES: &str = "skep.queue.max-bytes";

/// What waits for one function, as it was seen a moment ago.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Calls that nobody has begun; those that wait for their time are not among them.
    pub depth: u64,
    /// How long the first of them waits.
    pub age: Duration,
    /// About what the first of them takes in the queue, in bytes.
    pub first_bytes: u64,
}

impl Waiting {
    /// This, and as many more elsewhere, of which the first waits for so long and takes so much.
    pub fn and(self, depth: u64, age: Duration, first_bytes: u64) -> Self {
        let first_bytes = if age >= self.age { first_bytes } else { self.first_bytes };
        Self { depth: self.depth + depth, age: self.age.max(age), first_bytes }
    }
}

/// From when on further calls of a function are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueLimits {
    pub depth: Option<u64>,
    pub age: Option<Duration>,
    pub bytes: Option<u64>,
}

impl QueueLimits {
    /// Reads the annotations.
    pub(crate) fn of(deployment: &FunctionDeployment) -> Result<Self, SettingError> {
        let setting = Setting::Annotation(QUEUE_MAX_DEPTH);
        let depth = setting.of(deployment).map(|text| match text.trim().parse() {
            Ok(depth @ 1..) => Ok(depth),
            Ok(0) | Err(_) => Err(setting.error(format!("{text:?} is not a whole number from 1"))),
        });
        let age = Setting::Annotation(QUEUE_MAX_AGE).positive_duration(deployment)?;
        let setting = Setting::Annotation(QUEUE_MAX_BYTES);
        let size = |text: &str| parse_size(text).map_err(|error| setting.error(format!("{text:?}: {error}")));
        let bytes = setting.of(deployment).map(size);
        Ok(Self { depth: depth.transpose()?, age, bytes: bytes.transpose()? })
    }

    /// Which of the limits of depth and age has been reached, in words.
    pub fn reached(&self, waiting: Waiting) -> Option<String> {
        if let Some(limit) = self.depth.filter(|&limit| waiting.depth >= limit) {
            return Some(format!("{} calls wait, and {QUEUE_MAX_DEPTH} is {limit}", waiting.depth));
        }
        let limit = self.age.filter(|&limit| waiting.age >= limit)?;
        let (age, limit) = (waiting.age.as_secs(), limit.as_secs());
        Some(format!("the first call waits for {age} s, and {QUEUE_MAX_AGE} is {limit} s"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(pairs: &[(&str, &str)]) -> Result<QueueLimits, SettingError> {
        let annotations = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        QueueLimits::of(&FunctionDeployment { annotations, ..Default::default() })
    }

    #[test]
    fn a_limit_is_reached_by_as_many_as_it_says() {
        let both = limits(&[(QUEUE_MAX_DEPTH, "10"), (QUEUE_MAX_AGE, "1m")]).unwrap();
        let waiting = |depth, seconds| Waiting { depth, age: Duration::from_secs(seconds), first_bytes: 0 };
        assert_eq!(both.reached(waiting(9, 59)), None);
        assert!(both.reached(waiting(10, 0)).unwrap().contains(QUEUE_MAX_DEPTH));
        assert!(both.reached(waiting(1, 60)).unwrap().contains(QUEUE_MAX_AGE));
        assert_eq!(limits(&[]).unwrap().reached(waiting(1_000_000, 1_000_000)), None);
    }

    #[test]
    fn a_bad_limit_is_named() {
        for (name, value) in [
            (QUEUE_MAX_DEPTH, "0"),
            (QUEUE_MAX_DEPTH, "many"),
            (QUEUE_MAX_AGE, "0"),
            (QUEUE_MAX_AGE, "x"),
            (QUEUE_MAX_BYTES, "0"),
            (QUEUE_MAX_BYTES, "1TB"),
        ] {
            let error = limits(&[(name, value)]).unwrap_err();
            assert!(error.to_string().starts_with(&format!("annotation {name}: ")), "{error}");
        }
    }
}
