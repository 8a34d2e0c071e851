//! Moves a call to its next place: it is written there first, behind a fence; then the caller removes it from the last place.
//!
//! A move is idempotent, even if two processes make it. [`next_move`] decides what is written.

use async_nats::{
    header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_SCHEDULE, NATS_SCHEDULE_TARGET},
    jetstream::message::StreamMessage,
};
use skep_protocol::Call;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    Calls, Connection, Delivery, Error, Place, Queues, Result, Submitted,
    calls::records,
    client::clock,
    queue::life::{NextMove, Progress, Target, There, next_move},
    wire,
};

/// Of which subjects the expected number is, where it is not the message's own (nats-server ADR-15).
const EXPECTED_OF: &str = "Nats-Expected-Last-Subject-Sequence-Subject";
/// Another process changes the same call at the same time; more often than this it is not by chance.
const MAX_TRIES: usize = 5;

/// Where a call can be moved.
#[derive(Clone, Copy, Debug)]
pub enum Location {
    /// The lane that its function shares with others.
    Shared {
        /// When the message that moves was stored: what is older in the lane is not a copy of it.
        moved_since: OffsetDateTime,
    },
    /// The backlog of its function.
    Backlog,
    /// Where it waits until it is due.
    Parked { until: OffsetDateTime, why: Why },
}

/// What a parked call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its caller wants it later.
    Delay,
    /// An attempt has failed, and the next one is not due yet.
    Retry,
    /// A worker has it. When the worker is gone, the lease runs out and another one takes the call.
    Lease,
}

/// What became of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    Written,
    /// The call is there already, is further than that, or has ended.
    Superseded,
}

/// Where a call is moved to, and what a move needs to know and to change there.
trait Destination {
    /// Whether a write replaces what is there. A lane and a backlog refuse a second message instead.
    fn replaces(&self) -> bool;

    /// What a move finds.
    async fn find(&self) -> Result<Target>;

    /// Writes the call, if the last message there still has this number; `false` if it has another one.
    async fn write(&self, expected: u64) -> Result<bool>;

    async fn remove(&self, sequence: u64) -> Result<()>;
}

/// Moves a call that has come this far; `None` if others change it all the time.
async fn move_to(destination: &impl Destination, moved: Progress) -> Result<Option<Moved>> {
    let replaces = destination.replaces();
    // What refuses a second message needs no look before the first write.
    let mut target = if replaces { destination.find().await? } else { Target::default() };
    for _ in 0..MAX_TRIES {
        match next_move(moved, replaces, &target) {
            NextMove::Done => return Ok(Some(Moved::Superseded)),
            NextMove::Remove { sequence } => destination.remove(sequence).await?,
            NextMove::Write { expected } if destination.write(expected).await? => return Ok(Some(Moved::Written)),
            NextMove::Write { .. } => {}
        }
        target = destination.find().await?;
    }
    Ok(None)
}

/// A place in a stream.
struct InStream<'call> {
    queues: &'call Queues,
    call: &'call Call,
    to: Location,
}

impl Destination for InStream<'_> {
    fn replaces(&self) -> bool {
        matches!(self.to, Location::Parked { .. })
    }

    async fn find(&self) -> Result<Target> {
        self.queues.target(self.call, self.to).await
    }

    async fn write(&self, expected: u64) -> Result<bool> {
        self.queues.nats.write(self.call, self.to, expected).await
    }

    async fn remove(&self, sequence: u64) -> Result<()> {
        self.queues.nats.remove_message(stream_of(self.to), sequence).await
    }
}

impl Queues {
    /// Writes a call to its next place, unless it is there already, is further along, or has ended. The caller leaves the last place afterwards.
    pub async fn relocate(&self, call: &Call, to: Location) -> Result<Moved> {
        let moved = move_to(&InStream { queues: self, call, to }, progress(call)).await?;
        moved.ok_or_else(|| Error::unavailable(format!("call {} is changed by others all the time", call.call_id)))
    }

    /// What a move of this call finds.
    async fn target(&self, call: &Call, to: Location) -> Result<Target> {
        let (function, id) = (&call.function, &call.call_id);
        let there = |message: StreamMessage, is_older| There {
            sequence: message.sequence,
            progress: wire::progress(&message.headers),
            is_older,
        };
        match to {
            Location::Shared { moved_since } => {
                let found = records::find(&self.nats.streams.invoke, self.nats.subjects.invoke(function, id)).await?;
                let is_older = |message: &StreamMessage| message.time < moved_since;
                let found = found.map(|message| (is_older(&message), message));
                Ok(Target { there: found.map(|(is_older, message)| there(message, is_older)), ..Target::default() })
            }
            Location::Backlog => {
                let found = records::find(&self.nats.streams.backlog, self.nats.subjects.backlog(function, id)).await?;
                Ok(Target { there: found.map(|message| there(message, false)), ..Target::default() })
            }
            Location::Parked { .. } => {
                let calls = Calls::over(&self.nats);
                let (record, queued, parked) =
                    tokio::try_join!(calls.record(id), self.nats.find_queued(id), self.nats.find_delayed(id))?;
                let waits = self.nats.subjects.delayed(function, id);
                let (parked, due) = match parked {
                    Some(message) if message.subject.as_str() == waits => (Some(message), None),
                    due => (None, due),
                };
                let elsewhere = queued.iter().map(|queued| &queued.message).chain(&due);
                Ok(Target {
                    has_record: record.is_some(),
                    elsewhere: elsewhere.map(|message| wire::progress(&message.headers)).max(),
                    there: parked.map(|message| there(message, false)),
                })
            }
        }
    }
}

impl Connection {
    /// Writes a call to a place whose last message has this number; `false` if it has another one.
    pub(crate) async fn write(&self, call: &Call, to: Location, expected: u64) -> Result<bool> {
        let body = call.body.in_message().clone();
        match to {
            Location::Shared { .. } => {
                let subject = self.subjects.invoke(&call.function, &call.call_id);
                Ok(self.publish_once(subject, wire::call_headers(call), body).await? == Submitted::Accepted)
            }
            Location::Backlog => {
                let subject = self.subjects.backlog(&call.function, &call.call_id);
                let stored = self.backlogged.store(subject, wire::call_headers(call), body).await?;
                Ok(stored == Submitted::Accepted)
            }
            Location::Parked { until, why } => {
                let fence = self.subjects.delayed(&call.function, &call.call_id);
                Ok(self.park(call, until, why, fence, expected).await?.is_some())
            }
        }
    }

    /// Parks a call and returns the message's number, if the last message on the subjects of `fence` is still the expected one.
    pub(crate) async fn park(
        &self,
        call: &Call,
        until: OffsetDateTime,
        why: Why,
        fence: String,
        expected: u64,
    ) -> Result<Option<u64>> {
        let mut headers = wire::call_headers(call);
        headers.insert(wire::PARKED, why.as_str());
        // Only years outside 0 to 9999 cannot be written.
        headers.insert(NATS_SCHEDULE, format!("@at {}", until.format(&Rfc3339).unwrap_or_default()));
        headers.insert(NATS_SCHEDULE_TARGET, self.subjects.due(&call.function, &call.call_id));
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
        headers.insert(EXPECTED_OF, fence);
        let subject = self.subjects.delayed(&call.function, &call.call_id);
        self.publish(subject, headers, call.body.in_message().clone()).await
    }

    /// Removes one message of a stream; it is no error if it is gone.
    pub(crate) async fn remove_message(&self, stream: &str, sequence: u64) -> Result<()> {
        // Without `no_erase` the server overwrites the message first.
        let request = serde_json::json!({ "seq": sequence, "no_erase": true });
        let subject = format!("STREAM.MSG.DELETE.{}", self.subjects.stream(stream));
        let _: serde_json::Value = self.jetstream.request(subject, &request).await.map_err(Error::unavailable)?;
        Ok(())
    }
}

impl Delivery<Call> {
    /// Takes a call that goes on elsewhere out of its lane, so that the way back is free.
    pub async fn leave_lane(&self, queues: &Queues) -> Result<()> {
        match self.place {
            Place::Lane | Place::BulkLane => queues.nats.remove_message("INVOKE", self.sequence).await,
            // It goes with its ack.
            Place::Backlog | Place::Event | Place::Elsewhere => Ok(()),
        }
    }
}

impl Location {
    /// Where a call waits whose caller wants it later, or whose next attempt is due later.
    pub fn until_due(call: &Call) -> Self {
        let why = if call.last_attempt.is_some() { Why::Retry } else { Why::Delay };
        Self::Parked { until: call.due_at().unwrap_or_else(clock::now), why }
    }
}

impl Why {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::Retry => "retry",
            Self::Lease => "lease",
        }
    }
}

const fn stream_of(to: Location) -> &'static str {
    match to {
        Location::Shared { .. } => "INVOKE",
        Location::Backlog => "BACKLOG",
        Location::Parked { .. } => "DELAYED",
    }
}

pub(crate) fn progress(call: &Call) -> Progress {
    Progress { attempts: call.attempts(), interruptions: call.interruptions }
}

#[cfg(test)]
mod tests;
