//! A schedule: when its occurrences are, and what becomes of those that overlap or were missed.

use serde::Deserialize;

use crate::error::SourceError;

/// Keys that make a source a schedule.
pub(super) const MARKERS: &[&str] = &["cron", "every"];

/// All keys of a schedule.
pub(super) const KEYS: &[&str] = &[
    "cron",
    "every",
    "offset",
    "timezone",
    "overlap",
    "missed",
    "missed_within",
    "jitter",
    "from",
    "until",
    "body",
    "type",
    "headers",
    "path",
];

/// When events of a schedule are.
#[derive(Clone, Debug, Deserialize)]
pub struct Schedule {}

pub(super) fn read(_schedule: Schedule) -> Result<Schedule, SourceError> {
    Err(SourceError::new("schedules are not supported yet"))
}
