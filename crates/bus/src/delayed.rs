//! Calls that wait for their time: a schedule of the server each, in a stream of its own, so that they hold no slot and pin nothing.
//!
//! The server puts a call whose time has come on a subject of the same stream, from where a worker moves it to its lane.
//! Every step writes to the new place first and then leaves the old one, and a step that is done twice makes one call.

use async_nats::{
    HeaderMap,
    header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_SCHEDULE, NATS_SCHEDULE_TARGET},
    jetstream::message::StreamMessage,
};
use skep_protocol::{CallId, CallStatus, Invocation};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{Bus, Error, Queue, Result, Submitted, clock, overdue, records, wire};

/// Of which subjects the expected number is, where it is not the message's own (nats-server ADR-15).
const EXPECTED_OF: &str = "Nats-Expected-Last-Subject-Sequence-Subject";
/// Someone else changes the same call at the same time; more often than this it is not by chance.
const MAX_TRIES: usize = 5;

/// The message of a call that is to be run.
pub(crate) struct Queued {
    pub(crate) stream: &'static str,
    pub(crate) message: StreamMessage,
}

impl Bus {
    /// Lets a call wait until it is due. [`Submitted::Duplicate`] means that it has got further already, or has ended.
    pub async fn delay(&self, invocation: &Invocation) -> Result<Submitted> {
        for _ in 0..MAX_TRIES {
            let id = &invocation.call_id;
            let (record, queued, delayed) =
                tokio::try_join!(self.record(id), self.find_queued(id), self.find_delayed(id))?;
            let is_further = |message: &StreamMessage| attempts_of(message) >= invocation.attempts();
            let queued_further = queued.iter().any(|queued| is_further(&queued.message));
            if record.is_some() || queued_further || delayed.as_ref().is_some_and(is_further) {
                return Ok(Submitted::Duplicate);
            }
            let subject = self.subjects.delayed(&invocation.function, id);
            let replaced = delayed.filter(|message| message.subject.as_str() == subject);
            let sequence = replaced.map_or(0, |message| message.sequence);
            if self.put_delayed(invocation, due_at(invocation), subject, sequence).await?.is_some() {
                return Ok(Submitted::Accepted);
            }
        }
        Err(Error::unavailable(format!("call {} is changed by others all the time", invocation.call_id)))
    }

    /// Stores a new call that its caller wants later.
    pub(crate) async fn submit_delayed(&self, invocation: &Invocation) -> Result<Submitted> {
        let subject = self.subjects.delayed(&invocation.function, &invocation.call_id);
        let stored = self.put_delayed(invocation, due_at(invocation), subject, 0).await?;
        Ok(if stored.is_some() { Submitted::Accepted } else { Submitted::Duplicate })
    }

    /// Writes a schedule and returns its number, if the last message on the subjects of `fence` is still the one that is known; else `None`.
    pub(crate) async fn put_delayed(
        &self,
        invocation: &Invocation,
        due_at: OffsetDateTime,
        fence: String,
        known: u64,
    ) -> Result<Option<u64>> {
        let mut headers = wire::invocation_headers(invocation);
        // Only years outside 0 to 9999 cannot be written.
        headers.insert(NATS_SCHEDULE, format!("@at {}", due_at.format(&Rfc3339).unwrap_or_default()));
        headers.insert(NATS_SCHEDULE_TARGET, self.subjects.due(&invocation.function, &invocation.call_id));
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, known.to_string());
        headers.insert(EXPECTED_OF, fence);
        let subject = self.subjects.delayed(&invocation.function, &invocation.call_id);
        self.publish(subject, headers, invocation.body.in_message().clone()).await
    }

    /// The queue of calls whose time has come.
    pub fn due(&self) -> Queue<Invocation> {
        Queue::new(self, "DELAYED", overdue::DUE.to_owned(), self.subjects().due_all(), |message| {
            wire::read_invocation(wire::headers(message), message.payload.clone())
        })
    }

    /// Puts a call whose time came at `due_since` into its lane, also if it has been put there before.
    pub async fn requeue(&self, invocation: &Invocation, due_since: OffsetDateTime) -> Result<()> {
        let subject = self.subjects.invoke(&invocation.function, &invocation.call_id);
        for _ in 0..MAX_TRIES {
            let headers = wire::invocation_headers(invocation);
            if self.publish_once(subject.clone(), headers, invocation.body.in_message().clone()).await?
                == Submitted::Accepted
            {
                return Ok(());
            }
            match records::find(&self.streams.invoke, subject.clone()).await? {
                // Whoever was to move it before has done so, and died before the ack.
                Some(message) if is_as_far(&message, invocation, due_since) => return Ok(()),
                // What is there is the attempt before, finished but not purged, or what somebody is about to remove.
                Some(message) => self.remove_message("INVOKE", message.sequence).await?,
                None => {}
            }
        }
        Err(Error::unavailable(format!("call {} is changed by others all the time", invocation.call_id)))
    }

    /// Takes a call away from where it waits.
    pub(crate) async fn remove_delayed(&self, subject: String) -> Result<()> {
        self.streams.delayed.purge().filter(subject).await.map_err(Error::unavailable)?;
        Ok(())
    }

    /// A call in the backlog of its function, and in its lanes. There it also stays for a while after it was finished or set aside.
    pub(crate) async fn find_queued(&self, id: &CallId) -> Result<Vec<Queued>> {
        let in_lane = self.subjects.invoke_by_id(id);
        let (set_aside, first) = tokio::try_join!(
            records::find(&self.streams.backlog, self.subjects.backlog_by_id(id)),
            records::find(&self.streams.invoke, in_lane.clone()),
        )?;
        let second = match &first {
            Some(first) => records::find_after(&self.streams.invoke, in_lane, first.sequence).await?,
            None => None,
        };
        let found = [("BACKLOG", set_aside), ("INVOKE", second), ("INVOKE", first)];
        let found = found.into_iter().filter_map(|(stream, message)| Some(Queued { stream, message: message? }));
        Ok(found.collect())
    }

    pub(crate) async fn remove_queued(&self, queued: &Queued) -> Result<()> {
        self.remove_message(queued.stream, queued.message.sequence).await
    }

    pub(crate) async fn find_delayed(&self, id: &CallId) -> Result<Option<StreamMessage>> {
        records::find(&self.streams.delayed, self.subjects.delayed_by_id(id)).await
    }
}

fn due_at(invocation: &Invocation) -> OffsetDateTime {
    invocation.due_at().unwrap_or_else(clock::now)
}

/// How many attempts had been made when a message was written.
fn attempts_of(message: &StreamMessage) -> u64 {
    wire::attempts(&message.headers)
}

/// Whether a message in a lane is the call that was due since then, or what came after.
fn is_as_far(message: &StreamMessage, invocation: &Invocation, due_since: OffsetDateTime) -> bool {
    let found = (wire::attempts(&message.headers), wire::begun(&message.headers));
    let wanted = (invocation.attempts(), invocation.begun);
    found > wanted || found == wanted && message.time >= due_since
}

/// What a message of the delayed stream says of its call: it waits, or its time has come and it is on its way.
pub(crate) fn status(message: &StreamMessage) -> Result<CallStatus> {
    let invocation = read(message)?;
    let headers: &HeaderMap = &message.headers;
    // The schedule of a call that has left its lane only stands in for it.
    let waits = headers.get(NATS_SCHEDULE).is_some() && invocation.begun.is_none();
    Ok(if waits { invocation.waiting_status() } else { invocation.status() })
}

pub(crate) fn read(message: &StreamMessage) -> Result<Invocation> {
    wire::read_invocation(&message.headers, message.payload.clone())
        .map_err(|reason| Error::Unreadable { subject: message.subject.to_string(), reason })
}
