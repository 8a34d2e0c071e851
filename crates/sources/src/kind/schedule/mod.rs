//! A schedule: when its occurrences are, and what becomes of those that overlap or were missed.

#[cfg(test)]
mod clocks;
mod declared;
mod plan;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod times;
mod zone;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use skep_protocol::{Missed, Overlap};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

pub(crate) use self::declared::MARKERS;
pub(super) use self::declared::{KEYS, read};
pub use self::plan::{Due, Gap, Listed, Step};
use self::times::Rule;
use crate::{added_header::AddedHeader, digest::number_of};

/// When events of a schedule are, and what they say.
#[derive(Clone, Debug)]
pub struct Schedule {
    rule: Rule,
    zone: jiff::tz::TimeZone,
    from: Option<OffsetDateTime>,
    until: Option<OffsetDateTime>,
    pub overlap: Overlap,
    pub missed: Missed,
    pub missed_within: Duration,
    jitter: Duration,
    pub(crate) event_type: Option<String>,
    pub(crate) headers: Vec<(http::HeaderName, AddedHeader)>,
    pub(crate) path: String,
    pub(crate) body: Bytes,
}

/// A schedule as it is declared.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Declared {
    cron: Option<Value>,
    #[serde(deserialize_with = "crate::values::duration")]
    every: Option<Duration>,
    #[serde(deserialize_with = "crate::values::duration")]
    offset: Option<Duration>,
    timezone: Option<String>,
    #[serde(deserialize_with = "crate::values::from_text")]
    overlap: Option<Overlap>,
    #[serde(deserialize_with = "crate::values::from_text")]
    missed: Option<Missed>,
    #[serde(deserialize_with = "crate::values::duration")]
    missed_within: Option<Duration>,
    #[serde(deserialize_with = "crate::values::duration")]
    jitter: Option<Duration>,
    from: Option<String>,
    until: Option<String>,
    body: Option<Value>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    headers: BTreeMap<String, String>,
    path: Option<String>,
}

impl Schedule {
    /// The first occurrence after a time.
    pub fn after(&self, time: OffsetDateTime) -> Option<OffsetDateTime> {
        let time = self.from.map_or(time, |from| time.max(from - Duration::from_nanos(1)));
        let next = self.rule.after(time, &self.zone)?;
        (self.until.is_none_or(|until| next <= until)).then_some(next)
    }

    /// The occurrences after a time, in their order.
    pub fn all_after(&self, time: OffsetDateTime) -> impl Iterator<Item = OffsetDateTime> + '_ {
        std::iter::successors(self.after(time), |last| self.after(*last))
    }

    /// The occurrences after one time and up to another one.
    pub fn between(&self, after: OffsetDateTime, up_to: OffsetDateTime) -> impl Iterator<Item = OffsetDateTime> + '_ {
        self.all_after(after).take_while(move |time| *time <= up_to)
    }

    /// When the calls of an occurrence are due; `source` is the name of the schedule, so that two schedules differ.
    pub fn due_at(&self, source: &str, planned: OffsetDateTime) -> OffsetDateTime {
        let seconds = self.jitter.as_secs();
        if seconds == 0 {
            return planned;
        }
        let number = number_of(&[source, &planned.unix_timestamp().to_string()]);
        planned.checked_add(time::Duration::seconds((number % (seconds + 1)) as i64)).unwrap_or(planned)
    }

    /// A time with the offset of the schedule's time zone.
    pub fn local(&self, time: OffsetDateTime) -> OffsetDateTime {
        zone::local(time, &self.zone)
    }

    /// The next times after one, as people read them.
    pub fn next_times(&self, time: OffsetDateTime, most: usize) -> Vec<String> {
        self.all_after(time).take(most).filter_map(|next| self.local(next).format(&Rfc3339).ok()).collect()
    }
}
