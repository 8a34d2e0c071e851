//! Debouncing: of the events of a burst only the last one makes a call that runs.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{RouteName, SourceName};

/// How the call of a route waits for later events that replace it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventDebounce {
    /// A hash of the route and of the value of its key: events with the same one are of one burst.
    pub key: String,
    pub wait_millis: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most_millis: Option<u64>,
}

/// Names the bursts of one route and one value of its key: `SOURCE.HASH`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BurstKey {
    source: SourceName,
    key: String,
}

#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} does not name a burst, as github.0123abcd does")]
pub struct BurstKeyError(String);

impl EventDebounce {
    pub fn new(route: &RouteName, value: &str, wait: Duration, at_most: Option<Duration>) -> Self {
        let mut hash = Sha256::new();
        hash.update(route.as_str());
        hash.update([0]);
        hash.update(value);
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            key: hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect(),
            wait_millis: millis(wait),
            at_most_millis: at_most.map(millis),
        }
    }

    /// The time after the last event at which its call runs.
    pub fn wait(&self) -> Duration {
        Duration::from_millis(self.wait_millis)
    }

    /// The longest time from the first event of a burst to the call.
    pub fn at_most(&self) -> Option<Duration> {
        self.at_most_millis.map(Duration::from_millis)
    }

    pub fn burst_key(&self, source: &SourceName) -> BurstKey {
        BurstKey { source: source.clone(), key: self.key.clone() }
    }
}

impl fmt::Display for BurstKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.source, self.key)
    }
}

impl BurstKey {
    pub(crate) fn of_hash(source: SourceName, key: String) -> Self {
        Self { source, key }
    }

    /// The source of its events.
    pub fn source(&self) -> &SourceName {
        &self.source
    }
}

impl FromStr for BurstKey {
    type Err = BurstKeyError;

    fn from_str(text: &str) -> Result<Self, BurstKeyError> {
        let (source, key) = text.split_once('.').unwrap_or_default();
        let is_key = !key.is_empty() && key.len() <= 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
        match source.parse() {
            Ok(source) if is_key => Ok(Self { source, key: key.to_owned() }),
            Ok(_) | Err(_) => Err(BurstKeyError(text.chars().take(80).collect())),
        }
    }
}
