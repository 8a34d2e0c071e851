//! Listing calls, wherever they are: those that wait, those in their lanes, those in a backlog, and those that have ended.
//!
//! A page costs a bounded number of reads, so it may hold fewer calls than requested and still have a token for the next page.

use std::{fmt, str::FromStr, time::Duration};

use async_nats::jetstream::message::StreamMessage;
use bytes::Bytes;
use futures_util::future::try_join_all;
use skep_protocol::{CallId, CallState, CallStatus, FunctionName};
use time::OffsetDateTime;

use crate::{
    Calls, Error, Result,
    calls::records,
    calls::scan::{Scan, Seen},
    queue::parked,
    wire,
};

/// What one page may cost: a record that is seen costs 1.
const BUDGET: usize = 20_000;
/// The cost of a call that is looked up,
const LOOK_UP: usize = 10;
/// and of this many bytes of its body: 1 more.
const BYTES: usize = 4096;
/// Queued calls that are looked up at once.
const TOGETHER: usize = 64;
/// Records are read in windows, from the newest backwards.
const WINDOW: u64 = 1000;

/// Which calls are meant.
#[derive(Clone, Debug, Default)]
pub struct CallFilter {
    pub function: Option<FunctionName>,
    /// In one of these states; none is in any.
    pub states: Vec<CallState>,
    /// Accepted then or later.
    pub since: Option<OffsetDateTime>,
    /// Accepted before then.
    pub until: Option<OffsetDateTime>,
    /// Ended, after it has run for at least this long.
    pub min_duration: Option<Duration>,
}

/// Where a list goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Among the calls that wait, behind this message.
    Waiting(u64),
    /// Among those in their lanes, behind this message.
    Queued(u64),
    /// Among those in a backlog, behind this message.
    Backlogged(u64),
    /// Among those that have ended, before this message.
    Ended(u64),
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Page {
    pub calls: Vec<CallStatus>,
    /// Where the next part begins, if there may be one.
    pub next: Option<Position>,
}

impl Default for Position {
    fn default() -> Self {
        Self::Waiting(0)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(sequence) => write!(formatter, "w{sequence}"),
            Self::Queued(sequence) => write!(formatter, "q{sequence}"),
            Self::Backlogged(sequence) => write!(formatter, "s{sequence}"),
            Self::Ended(sequence) => write!(formatter, "e{sequence}"),
        }
    }
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let position = match text.split_at_checked(1) {
            Some(("w", sequence)) => sequence.parse().map(Self::Waiting),
            Some(("q", sequence)) => sequence.parse().map(Self::Queued),
            Some(("s", sequence)) => sequence.parse().map(Self::Backlogged),
            Some(("e", sequence)) => sequence.parse().map(Self::Ended),
            _ => return Err("it is not where a list has ended".to_owned()),
        };
        position.map_err(|_| "it is not where a list has ended".to_owned())
    }
}

impl CallFilter {
    fn admits(&self, status: &CallStatus) -> bool {
        (self.states.is_empty() || self.states.contains(&status.state))
            && self.function.as_ref().is_none_or(|function| function.to_string() == status.function)
            && self.since.is_none_or(|since| status.accepted_at >= since)
            && self.until.is_none_or(|until| status.accepted_at < until)
            && self
                .min_duration
                .is_none_or(|least| status.duration_seconds.is_some_and(|took| took >= least.as_secs_f64()))
    }

    fn wants(&self, is_of_kind: impl Fn(CallState) -> bool) -> bool {
        // What has not ended has no duration.
        (self.min_duration.is_none() || is_of_kind(CallState::Succeeded))
            && (self.states.is_empty() || self.states.iter().any(|&state| is_of_kind(state)))
    }
}

/// A page that is being filled.
struct Filling<'filter> {
    filter: &'filter CallFilter,
    calls: Vec<CallStatus>,
    limit: usize,
    budget: usize,
}

impl Filling<'_> {
    fn take(&mut self, status: CallStatus) {
        // It may have gone on from one place to the next meanwhile.
        let is_listed = self.calls.iter().any(|listed| listed.call_id == status.call_id);
        if !is_listed && self.filter.admits(&status) {
            self.calls.push(status);
        }
    }

    fn spend(&mut self, cost: usize) {
        self.budget = self.budget.saturating_sub(cost);
    }

    /// A call's message is fetched with its body, here and when its state is asked for.
    fn look_up(&mut self, message: &StreamMessage) {
        self.spend(LOOK_UP + message.payload.len() / BYTES);
    }

    fn room(&self) -> usize {
        self.limit.saturating_sub(self.calls.len())
    }

    fn is_full(&self) -> bool {
        self.room() == 0 || self.budget == 0
    }
}

impl Calls {
    /// Calls that the filter admits: first those that wait, those in their lanes and those in a backlog, each the oldest first, then those that have ended, the last one first.
    pub async fn list(&self, filter: &CallFilter, limit: usize, from: Position) -> Result<Page> {
        let mut page = Filling { filter, calls: Vec::new(), limit: limit.max(1), budget: BUDGET };
        let mut position = Some(from);
        while let Some(here) = position.filter(|_| !page.is_full()) {
            position = match here {
                Position::Waiting(after) => Some(self.list_waiting(&mut page, after).await?),
                Position::Queued(after) => Some(self.list_queued(&mut page, after).await?),
                Position::Backlogged(after) => Some(self.list_backlogs(&mut page, after).await?),
                Position::Ended(before) => self.list_ended(&mut page, before).await?,
            };
        }
        Ok(Page { calls: page.calls, next: position })
    }

    /// A work queue allows one consumer per subject, so its messages are read one by one.
    async fn list_waiting(&self, page: &mut Filling<'_>, mut after: u64) -> Result<Position> {
        if !page.filter.wants(|state| !state.is_final()) {
            return Ok(Position::Queued(0));
        }
        let subject = self.nats.subjects.delayed_of(page.filter.function.as_ref());
        while !page.is_full() {
            let Some(message) = records::find_after(&self.nats.streams.delayed, subject.clone(), after).await? else {
                return Ok(Position::Queued(0));
            };
            after = message.sequence;
            page.look_up(&message);
            // What cannot be read becomes a dead letter when it is due.
            let Ok(status) = parked::status(&message) else { continue };
            // A parked lease only stands for a call that a worker has, so the state of the call itself is looked up.
            let status =
                if status.state == CallState::Queued { self.status(&status.call_id).await? } else { Some(status) };
            if let Some(status) = status.filter(|status| !status.state.is_final()) {
                page.take(status);
            }
        }
        Ok(Position::Waiting(after))
    }

    async fn list_queued(&self, page: &mut Filling<'_>, mut after: u64) -> Result<Position> {
        if !page.filter.wants(is_in_lane) {
            return Ok(Position::Backlogged(0));
        }
        let subject = self.nats.subjects.invoke_of(page.filter.function.as_ref());
        while !page.is_full() {
            let mut together = Vec::new();
            while together.len() < TOGETHER.min(page.room()) && page.budget > 0 {
                let Some(message) = records::find_after(&self.nats.streams.invoke, subject.clone(), after).await?
                else {
                    break;
                };
                after = message.sequence;
                page.look_up(&message);
                together.extend(message.subject.rsplit('.').next().and_then(|id| id.parse::<CallId>().ok()));
            }
            if together.is_empty() {
                return Ok(Position::Backlogged(0));
            }
            for status in try_join_all(together.iter().map(|id| self.status(id))).await?.into_iter().flatten() {
                // What has ended is still in its lane for a while, and so is an attempt whose next one waits.
                if is_in_lane(status.state) {
                    page.take(status);
                }
            }
        }
        Ok(Position::Queued(after))
    }

    async fn list_backlogs(&self, page: &mut Filling<'_>, mut after: u64) -> Result<Position> {
        if !page.filter.wants(is_in_lane) {
            return Ok(Position::Ended(u64::MAX));
        }
        let subject = match &page.filter.function {
            Some(function) => self.nats.subjects.backlog_of(function),
            None => self.nats.subjects.backlog_all(),
        };
        while !page.is_full() {
            let Some(message) = records::find_after(&self.nats.streams.backlog, subject.clone(), after).await? else {
                return Ok(Position::Ended(u64::MAX));
            };
            after = message.sequence;
            page.look_up(&message);
            let Some(id) = message.subject.rsplit('.').next().and_then(|id| id.parse::<CallId>().ok()) else {
                continue;
            };
            let (queued, status) = tokio::try_join!(self.nats.find_queued(&id), self.status(&id))?;
            // What is in its lane still was listed there.
            let is_in_a_lane = queued.iter().any(|queued| queued.stream == "INVOKE");
            if let Some(status) = status.filter(|status| !is_in_a_lane && is_in_lane(status.state)) {
                page.take(status);
            }
        }
        Ok(Position::Backlogged(after))
    }

    async fn list_ended(&self, page: &mut Filling<'_>, before: u64) -> Result<Option<Position>> {
        if !page.filter.wants(CallState::is_final) {
            return Ok(None);
        }
        let state = self.nats.streams.calls.get_info().await.map_err(Error::unavailable)?.state;
        let mut end = before.min(state.last_sequence.saturating_add(1));
        while end > state.first_sequence {
            let begin = end.saturating_sub(WINDOW).max(state.first_sequence);
            let window = self.records_between(begin, end).await?;
            page.spend(window.len() + 1);
            for seen in window.iter().rev() {
                if page.filter.since.is_some_and(|since| seen.published < since) {
                    return Ok(None);
                }
                if let Ok(record) = wire::read_record(&seen.headers, Bytes::new()) {
                    page.take(record.status);
                }
                if page.room() == 0 {
                    return Ok(Some(Position::Ended(seen.sequence)));
                }
            }
            end = begin;
            if page.is_full() {
                return Ok(Some(Position::Ended(end)));
            }
        }
        Ok(None)
    }

    /// Records without their bodies, from one position in their stream to before another one.
    async fn records_between(&self, begin: u64, end: u64) -> Result<Vec<Seen>> {
        let subject = self.nats.subjects.record_all();
        let mut scan = Scan::begin(&self.nats.streams.calls, subject, begin.saturating_sub(1)).await?;
        let mut window = Vec::new();
        while let Some(seen) = scan.next().await? {
            let is_last = seen.sequence + 1 >= end;
            window.extend(Some(seen).filter(|seen| seen.sequence < end));
            if is_last {
                break;
            }
        }
        scan.end().await;
        Ok(window)
    }
}

fn is_in_lane(state: CallState) -> bool {
    matches!(state, CallState::Queued | CallState::Running)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for position in [Position::default(), Position::Queued(7), Position::Backlogged(8), Position::Ended(u64::MAX)] {
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        for bad in ["", "w", "7", "x7", "w-1", "ü7", "e99999999999999999999"] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
    }
}
