//! How a whole installation is: what `GET /system/status` answers.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// All functions with their figures, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstallationStatus {
    /// When this was.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// In the order of their names.
    pub functions: Vec<FunctionFigures>,
    /// All dead letters, also of functions that are no longer deployed; missing while NATS is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<u64>,
    /// Bytes that all queued calls take, and how many they may; missing for callers that are limited to namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_bytes_limit: Option<u64>,
}

/// The figures of one function. Counts begin with the gateway that answers, and are of the calls that it has made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionFigures {
    /// `NAME`, or `NAME.NAMESPACE`.
    pub name: String,
    /// Replicas that are wanted.
    pub replicas: u64,
    /// Replicas that have answered.
    pub available_replicas: u64,
    /// Calls that have ended; under `skep up` the attempts of queued ones, too.
    pub ended: u64,
    /// Those of them that ended with a status of 500 or more.
    pub failed: u64,
    /// How long they took together, in seconds.
    pub seconds: f64,
    /// Calls that run now, or wait for a replica.
    pub in_flight: u64,
    /// Queued calls that nobody has begun; missing as long as they were not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_depth: Option<u64>,
    /// For how many seconds the first of them waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_age_seconds: Option<f64>,
    /// About how many bytes its queued calls take, those that wait for their time among them; missing as long as they were not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_bytes: Option<u64>,
    /// How many they may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_bytes_limit: Option<u64>,
    /// Dead letters of calls and callbacks; missing while NATS is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<u64>,
    /// Why there are fewer replicas than are wanted, if there is anything to be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What one stream of skep takes on NATS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamUsage {
    pub name: String,
    pub messages: u64,
    pub bytes: u64,
    /// In bytes, if it has a limit of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Whether it refuses messages beyond its limit; others drop their oldest ones.
    pub refuses: bool,
}
