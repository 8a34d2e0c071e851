//! The figures as an answer has them.

use serde::Serialize;
use skep_protocol::{CallFigures, CallTimes, ScalingStatus, Totals};
use time::OffsetDateTime;

/// Whether there are new figures, and why not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Live,
    /// NATS is there, and no controller says anything.
    #[default]
    NoController,
    NoNats,
}

/// One function, in a second.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    /// `NAME`, or `NAME.NAMESPACE`.
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) calls: CallFigures,
    #[serde(flatten)]
    pub(super) latency: Latency,
    /// Missing while it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) waiting: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) age_ms: Option<u64>,
    /// Replicas that are wanted.
    pub(super) replicas: u64,
    /// Replicas that take calls.
    pub(super) ready: u64,
    pub(super) starting: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scaling: Option<ScalingStatus>,
    /// Why there are fewer replicas than are wanted, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
}

/// Within how many milliseconds half of the calls ended, and 95 of 100; estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Latency {
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p95_ms: Option<f64>,
}

impl Latency {
    fn of(times: &CallTimes) -> Self {
        // To the microsecond, so that no noise of floating point is written.
        let milliseconds = |part| times.quantile(part).map(|seconds| (seconds * 1e6).round() / 1e3);
        Self { p50_ms: milliseconds(0.5), p95_ms: milliseconds(0.95) }
    }
}

/// Figures as they are shown, and how long the calls took that they are made of.
pub(super) fn shown(calls: CallFigures) -> (CallFigures, Latency, CallTimes) {
    let times = calls.times;
    (CallFigures { times: CallTimes::default(), ..calls }, Latency::of(&times), times)
}

/// Sums over all functions that are seen.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Sums {
    #[serde(flatten)]
    pub(super) totals: Totals,
    #[serde(flatten)]
    latency: Latency,
}

impl Sums {
    pub(super) fn of(totals: Totals) -> Self {
        let (calls, latency, _) = shown(totals.calls);
        Self { totals: Totals { calls, ..totals }, latency }
    }
}

/// An answer: all functions, or those that have changed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    #[serde(with = "time::serde::rfc3339")]
    pub(super) at: OffsetDateTime,
    pub(super) state: State,
    /// How many milliseconds the counts cover.
    pub(super) ms: u64,
    /// All functions are here; of any other, nothing is known.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) all: bool,
    pub(super) functions: Vec<Row>,
    /// Functions that were deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) gone: Vec<String>,
    pub(super) totals: Sums,
    #[serde(skip)]
    pub(super) turn: u64,
}
