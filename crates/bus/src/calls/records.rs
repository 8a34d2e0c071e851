//! The one record of each finished call.

use std::time::Duration;

use async_nats::{
    header::NATS_MESSAGE_TTL,
    jetstream::{
        message::StreamMessage,
        stream::{DirectGetErrorKind, LastRawMessageErrorKind, Stream},
    },
};
use futures_util::StreamExt;
use skep_backoff::Backoff;
use skep_protocol::{CallId, CallRecord};
use tokio::time::{Instant, timeout_at};

use crate::{Calls, Delivery, Error, Outcomes, Queue, Queues, Result, Submitted, client::clock, fit, wire};

/// The consumer of records whose callback is to be delivered.
pub(crate) const CALLBACKS: &str = "callbacks";
/// Between two looks for a record: soon after it was announced, and at least this often, announced or not.
const LOOK_INTERVAL: Backoff = Backoff::new(Duration::from_millis(2), Duration::from_secs(1));

impl Outcomes {
    /// Stores a record; the first one of a call stays, a later one is refused as [`Submitted::Duplicate`].
    ///
    /// What of it does not fit into a message is left out, and its reason says so.
    pub async fn store_record(&self, record: &CallRecord) -> Result<Submitted> {
        self.store_record_as(record, false).await
    }

    /// Stores a record whose callback was given up, so that it is delivered once more.
    pub(crate) async fn store_record_again(&self, record: &CallRecord) -> Result<Submitted> {
        self.store_record_as(record, true).await
    }

    async fn store_record_as(&self, record: &CallRecord, is_redriven: bool) -> Result<Submitted> {
        let subject = self.nats.subjects.record(&record.status.call_id, record.status.callback_url.is_some());
        let (record, mut headers) = fit::record(record, self.nats.largest_message())
            .map_err(|error| Error::Unreadable { subject: subject.clone(), reason: error.to_string() })?;
        if let Some(kept_until) = record.status.kept_until {
            let seconds = (kept_until - clock::now()).as_seconds_f64().ceil().max(1.0);
            self.nats.ledger.note_brief(&record.status.function, Duration::from_secs(seconds as u64)).await?;
            headers.insert(NATS_MESSAGE_TTL, format!("{seconds}s"));
        }
        if is_redriven {
            headers.insert(wire::REDRIVEN, "true");
        }
        self.nats.finished.store(subject, headers, record.body.in_message().clone()).await
    }
}

impl Calls {
    /// The record of a call, if it has finished and is still kept.
    pub async fn record(&self, id: &CallId) -> Result<Option<CallRecord>> {
        let subject = self.nats.subjects.record_by_id(id);
        find(&self.nats.streams.calls, subject).await?.as_ref().map(read).transpose()
    }

    /// The record of a call as the leader of its stream has it; [`Self::record`] may be answered by a replica that is a moment behind.
    pub async fn latest_record(&self, id: &CallId) -> Result<Option<CallRecord>> {
        if self.nats.kept.replicas < 2 {
            return self.record(id).await;
        }
        find_at_leader(&self.nats.streams.calls, self.nats.subjects.record_by_id(id))
            .await?
            .as_ref()
            .map(read)
            .transpose()
    }

    /// Waits until a call has its record, or until the deadline.
    ///
    /// An announcement only says when to look: it may have come before the subscription, or before the stream, or the replica that is asked, has the record.
    pub async fn wait_for_record(&self, id: &CallId, deadline: Instant) -> Result<Option<CallRecord>> {
        let subject = self.nats.subjects.record_by_id(id);
        let mut announced = self.nats.client.subscribe(subject).await.map_err(Error::unavailable)?;
        self.nats.client.flush().await.map_err(Error::unavailable)?;
        let mut looks = u64::MAX;
        loop {
            if let Some(record) = self.record(id).await? {
                return Ok(Some(record));
            }
            if Instant::now() >= deadline {
                return self.latest_record(id).await;
            }
            match timeout_at(deadline.min(Instant::now() + LOOK_INTERVAL.after(looks)), announced.next()).await {
                Ok(Some(_)) => looks = 1,
                Ok(None) => return Err(Error::unavailable("the connection is closed")),
                Err(_) => looks = looks.saturating_add(1),
            }
        }
    }
}

impl Queues {
    /// The queue of records whose callback is to be delivered.
    pub fn callbacks(&self) -> Queue<CallRecord> {
        let filter = self.nats.subjects.record_callbacks();
        Queue::new(&self.nats, "CALLS", CALLBACKS.to_owned(), filter, |message| {
            wire::read_record(wire::headers(message), message.payload.clone())
        })
    }
}

impl Delivery<CallRecord> {
    /// Whether its callback was given up before, and is now delivered once more.
    pub fn was_redriven(&self) -> bool {
        wire::text(&self.headers, wire::REDRIVEN).is_some()
    }
}

pub(crate) async fn find(stream: &Stream, subject: String) -> Result<Option<StreamMessage>> {
    find_after(stream, subject, 0).await
}

/// As [`find`], but never from a replica that is behind.
pub(crate) async fn find_at_leader(stream: &Stream, subject: String) -> Result<Option<StreamMessage>> {
    find_after_at_leader(stream, subject, 0).await
}

/// As [`find_after`], but never from a replica that is behind.
pub(crate) async fn find_after_at_leader(
    stream: &Stream,
    subject: String,
    after: u64,
) -> Result<Option<StreamMessage>> {
    match stream.get_first_raw_message_by_subject(subject, after.saturating_add(1)).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(Error::unavailable(error)),
    }
}

/// The first message of a subject behind a place in the stream.
pub(crate) async fn find_after(stream: &Stream, subject: String, after: u64) -> Result<Option<StreamMessage>> {
    match stream.direct_get_next_for_subject(subject, Some(after.saturating_add(1))).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::unavailable(error)),
    }
}

/// The message at a place in the stream.
pub(crate) async fn find_at(stream: &Stream, sequence: u64) -> Result<Option<StreamMessage>> {
    match stream.direct_get(sequence).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::unavailable(error)),
    }
}

pub(crate) fn read(message: &StreamMessage) -> Result<CallRecord> {
    wire::read_record(&message.headers, message.payload.clone())
        .map_err(|reason| Error::Unreadable { subject: message.subject.to_string(), reason })
}
