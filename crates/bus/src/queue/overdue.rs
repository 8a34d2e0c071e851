//! Overdue calls: the server has forgotten their schedule, or counts a due call as acknowledged.
//!
//! A server that was killed can come back with either. Such a call is moved to its lane.

use std::{collections::BTreeSet, time::Duration};

use async_nats::{
    header::NATS_SCHEDULE,
    jetstream::{consumer::pull, message::StreamMessage},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::Instant;
use tracing::warn;

use crate::{
    Error, Housekeeping, NatsHeaders, Queues, Result,
    calls::records,
    client::clock,
    queue::parked,
    queue::relocate::{Location, Why},
    wire,
};

/// The consumer of calls that are due.
pub(crate) const DUE: &str = "due";

/// What a look at a message has come to.
enum Looked {
    SentOn,
    /// It has changed meanwhile, or cannot be read.
    Gone,
    Again {
        at: OffsetDateTime,
    },
}

/// Delayed calls that are remembered: about 3 MB of them. Those that are due later are found by the next walk through all.
const MAX_REMEMBERED: usize = 100_000;
/// How often all delayed calls are read again, although the server is the same.
const WALK_INTERVAL: Duration = Duration::from_secs(3600);

/// What is known of the delayed calls, so that each is read once, and again when it should have moved.
#[derive(Debug, Default)]
pub struct DelayedCalls {
    /// Those up to this place were read.
    read_to: u64,
    due: Agenda,
    /// Which server this is of, and since when. Another one, or one that was started again, may have others.
    from: Option<(String, Instant)>,
}

/// When to look at which message: by its number in the stream.
#[derive(Debug, Default)]
struct Agenda(BTreeSet<(OffsetDateTime, u64)>);

impl Agenda {
    fn add(&mut self, at: OffsetDateTime, sequence: u64) {
        self.0.insert((at, sequence));
        if self.0.len() > MAX_REMEMBERED {
            self.0.pop_last();
        }
    }

    /// The first one whose time was before this.
    fn next(&mut self, before: OffsetDateTime) -> Option<u64> {
        let (at, sequence) = *self.0.first()?;
        (at < before).then(|| self.0.pop_first()).map(|_| sequence)
    }
}

/// One look.
struct Look {
    /// What should have moved before this is overdue.
    before: OffsetDateTime,
    /// Due calls up to this place count as acknowledged.
    floor: u64,
}

impl Housekeeping {
    /// Reads delayed calls, at most `limit` of them, and sends on their way those that should have moved more than `overdue_after` ago; returns how many.
    pub async fn send_on_overdue(
        &self,
        calls: &mut DelayedCalls,
        limit: usize,
        overdue_after: Duration,
    ) -> Result<usize> {
        let delayed = &self.nats.streams.delayed;
        let last = self.renew(calls).await?;
        let floor = match delayed.get_consumer::<pull::Config>(DUE).await {
            Ok(consumer) => consumer.cached_info().ack_floor.stream_sequence,
            // No worker has opened it yet, so nothing was acknowledged.
            Err(_) => 0,
        };
        let look = Look { before: clock::now() - overdue_after, floor };
        let mut sent_on = 0;
        for _ in 0..limit {
            let message = if let Some(sequence) = calls.due.next(look.before) {
                records::find_at(delayed, sequence).await?
            } else if calls.read_to < last {
                let new = records::find_after(delayed, self.nats.subjects.delayed_all(), calls.read_to).await?;
                calls.read_to = new.as_ref().map_or(last, |new| new.sequence);
                new
            } else {
                break;
            };
            // Most have moved when they should.
            let Some(message) = message else { continue };
            match self.look_at(&look, &message).await {
                Ok(Looked::SentOn) => sent_on += 1,
                Ok(Looked::Gone) => {}
                Ok(Looked::Again { at }) => calls.due.add(at, message.sequence),
                Err(error) if error.may_pass() => {
                    calls.due.add(look.before, message.sequence);
                    return Err(error);
                }
                // It must not keep those behind it from being checked.
                Err(error) => {
                    warn!(error = error.chain(), subject = %message.subject, "an overdue call cannot be moved to its lane")
                }
            }
        }
        Ok(sent_on)
    }

    /// Forgets what is known if the server may have other calls than it had; returns the place of the last one.
    async fn renew(&self, calls: &mut DelayedCalls) -> Result<u64> {
        let info = self.nats.streams.delayed.get_info().await.map_err(Error::unavailable)?;
        let leader = info.cluster.and_then(|cluster| cluster.leader).unwrap_or_default();
        let server = format!("{} {leader}", self.nats.client.server_info().server_id);
        let is_known = |(known, since): &(String, Instant)| *known == server && since.elapsed() < WALK_INTERVAL;
        let last = info.state.last_sequence;
        if !calls.from.as_ref().is_some_and(is_known) || last < calls.read_to {
            *calls = DelayedCalls { from: Some((server, Instant::now())), ..DelayedCalls::default() };
        }
        Ok(last)
    }

    async fn look_at(&self, look: &Look, message: &StreamMessage) -> Result<Looked> {
        let is_waiting = self.is_waiting(message);
        let due = if is_waiting { due_at(message) } else { message.time };
        if due >= look.before {
            return Ok(Looked::Again { at: due });
        }
        let sent_on = if is_waiting {
            self.schedule_again(message).await?
        } else if message.sequence <= look.floor {
            self.queue_again(message).await?
        } else {
            // It is with a worker, or waits for one.
            return Ok(Looked::Again { at: clock::now() });
        };
        Ok(if sent_on { Looked::SentOn } else { Looked::Gone })
    }

    fn is_waiting(&self, message: &StreamMessage) -> bool {
        message.subject.starts_with(&format!("{}.delayed.wait.", self.nats.subjects.prefix()))
    }

    /// Writes a schedule again, due now; `false` if it has changed meanwhile.
    async fn schedule_again(&self, message: &StreamMessage) -> Result<bool> {
        // The worker makes a dead letter of what cannot be read, once it is due.
        let Ok(call) = parked::read(message) else { return Ok(false) };
        let why = match wire::text(&message.headers, wire::PARKED) {
            Some(why) if why == Why::Lease.as_str() => Why::Lease,
            _ if call.last_attempt.is_some() => Why::Retry,
            _ => Why::Delay,
        };
        self.nats.write(&call, Location::Parked { until: clock::now(), why }, message.sequence).await
    }

    /// Moves a due call to its lane, as the worker does that is handed it, or lets it come due again; `false` if it cannot be read.
    async fn queue_again(&self, message: &StreamMessage) -> Result<bool> {
        let Ok(call) = parked::read(message) else { return Ok(false) };
        if call.burst.is_some() || call.occurrence.is_some() {
            // Whether it runs is decided when it is due, so it is due once more.
            self.nats.write(&call, Location::Parked { until: clock::now(), why: Why::Delay }, 0).await?;
        } else {
            Queues::over(&self.nats).relocate(&call, Location::Shared { moved_since: message.time }).await?;
        }
        self.nats.remove_message("DELAYED", message.sequence).await?;
        Ok(true)
    }
}

/// When the message was to be moved; one without a readable time is moved at once.
fn due_at(message: &StreamMessage) -> OffsetDateTime {
    scheduled_at(&message.headers).unwrap_or(message.time)
}

/// When a message with these headers is to be moved.
pub(crate) fn scheduled_at(headers: &NatsHeaders) -> Option<OffsetDateTime> {
    let at = headers.get(NATS_SCHEDULE)?.as_str().strip_prefix("@at ")?;
    OffsetDateTime::parse(at, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_looked_at_when_their_time_has_passed_and_the_earliest_are_remembered() {
        let at = |seconds: u64| OffsetDateTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut agenda = Agenda::default();
        for number in 0..=MAX_REMEMBERED as u64 {
            agenda.add(at(2 * MAX_REMEMBERED as u64 - number), number);
        }
        assert_eq!(agenda.0.len(), MAX_REMEMBERED);
        agenda.add(at(5), 1_000_000);
        agenda.add(at(5), 1_000_001);
        assert_eq!(agenda.next(at(5)), None, "its time has not passed");
        assert_eq!(
            [agenda.next(at(6)), agenda.next(at(6)), agenda.next(at(6))],
            [Some(1_000_000), Some(1_000_001), None]
        );
        assert_eq!(agenda.next(at(u64::from(u32::MAX))), Some(MAX_REMEMBERED as u64), "the latest one made room");
    }
}
