//! The decisions about bursts, without any I/O.
//!
//! A burst begins with its first event and ends when no event came for a while, or after its longest time.
//! An event belongs to the burst that goes on if it came before that one is due; else it begins another one.
//! So bursts are times that do not overlap, and each call belongs to the burst in whose time it is due.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use skep_protocol::{CallId, EventDebounce};
use time::OffsetDateTime;

/// Earlier bursts whose calls may not have come due yet, where one call replaced another. More are only there after a long outage.
const MAX_EARLIER: usize = 64;

/// What is known of the bursts of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bursts {
    /// The one that goes on, or went on last.
    #[serde(default)]
    last: Option<Burst>,
    #[serde(default)]
    earlier: Vec<Burst>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Burst {
    /// The call of its latest event.
    call_id: CallId,
    /// When that event came.
    #[serde(with = "time::serde::rfc3339")]
    received_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    begins: OffsetDateTime,
    /// When the call runs.
    #[serde(with = "time::serde::rfc3339")]
    due: OffsetDateTime,
    /// Its call runs, and no later event replaces it.
    is_closed: bool,
    /// Whether it has replaced another call.
    has_replaced: bool,
}

/// A call, and when its event came.
pub(super) struct Entry {
    pub(super) call_id: CallId,
    pub(super) received_at: OffsetDateTime,
}

/// What becomes of a call that enters.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// It is the latest, once this is written.
    Latest { bursts: Bursts, due: OffsetDateTime },
    /// It is the latest already.
    Known { due: OffsetDateTime },
    /// The call of a later event is there.
    Replaced { by: CallId },
}

/// What becomes of a call that is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Run,
    /// It runs, once this is written.
    Close {
        bursts: Bursts,
    },
    Replaced {
        by: CallId,
    },
}

impl Bursts {
    pub(super) fn enter(&self, entry: &Entry, rule: &EventDebounce) -> Entered {
        let Some(last) = &self.last else { return self.begin(entry, rule, entry.received_at) };
        if last.call_id == entry.call_id {
            return Entered::Known { due: last.due };
        }
        let order = |call_id: &CallId, received_at| (received_at, call_id.as_str().to_owned());
        if order(&entry.call_id, entry.received_at) < order(&last.call_id, last.received_at) {
            return Entered::Replaced { by: last.call_id.clone() };
        }
        if last.is_closed || last.due < entry.received_at {
            // It comes after the last one, even if its event came before that was due.
            let after = last.due + Duration::from_nanos(1);
            return self.begin(entry, rule, entry.received_at.max(after));
        }
        let latest = Burst { has_replaced: true, ..burst(entry, rule, last.begins) };
        let due = latest.due;
        Entered::Latest { bursts: Self { last: Some(latest), earlier: self.earlier.clone() }, due }
    }

    fn begin(&self, entry: &Entry, rule: &EventDebounce, begins: OffsetDateTime) -> Entered {
        let latest = burst(entry, rule, begins);
        let due = latest.due;
        let mut earlier = self.earlier.clone();
        earlier.extend(self.last.clone().filter(|last| last.has_replaced));
        earlier.drain(..earlier.len().saturating_sub(MAX_EARLIER));
        Entered::Latest { bursts: Self { last: Some(latest), earlier }, due }
    }

    pub(super) fn due(&self, call_id: &CallId, due: OffsetDateTime) -> Due {
        let replaced = |by: &Burst| Due::Replaced { by: by.call_id.clone() };
        match &self.last {
            Some(last) if last.call_id == *call_id && last.is_closed => Due::Run,
            Some(last) if last.call_id == *call_id => {
                let closed = Burst { is_closed: true, ..last.clone() };
                Due::Close { bursts: Self { last: Some(closed), earlier: self.earlier.clone() } }
            }
            Some(last) if last.begins <= due => replaced(last),
            // It is of an earlier burst, which is over; one that is not known has run no other call.
            Some(_) | None => match self.earlier.iter().find(|burst| burst.begins <= due && due <= burst.due) {
                Some(burst) if burst.call_id != *call_id => replaced(burst),
                Some(_) | None => Due::Run,
            },
        }
    }
}

/// A burst whose latest call this is.
fn burst(entry: &Entry, rule: &EventDebounce, begins: OffsetDateTime) -> Burst {
    let wanted = entry.received_at.saturating_add(signed(rule.wait()));
    let latest = rule.at_most().map_or(wanted, |at_most| wanted.min(begins.saturating_add(signed(at_most))));
    Burst {
        call_id: entry.call_id.clone(),
        received_at: entry.received_at,
        begins,
        due: latest.max(begins),
        is_closed: false,
        has_replaced: false,
    }
}

fn signed(time: Duration) -> time::Duration {
    time.try_into().unwrap_or(time::Duration::MAX)
}

#[cfg(test)]
#[path = "burst/tests.rs"]
mod tests;
