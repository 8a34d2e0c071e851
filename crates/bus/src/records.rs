//! The one record of each finished call.

use std::time::Duration;

use async_nats::{
    header::NATS_MESSAGE_TTL,
    jetstream::{
        message::StreamMessage,
        stream::{DirectGetErrorKind, Stream},
    },
};
use futures_util::StreamExt;
use skep_protocol::{CallId, CallRecord};
use time::OffsetDateTime;
use tokio::time::{Instant, timeout_at};

use crate::{Bus, Error, Queue, Result, Submitted, fit, wire};

/// The consumer of records whose callback is to be delivered.
pub(crate) const CALLBACKS: &str = "callbacks";
/// How soon a record that was announced is looked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

impl Bus {
    /// Stores a record; the first one of a call stays, a later one is refused as [`Submitted::Duplicate`].
    ///
    /// What of it does not fit into a message is left out, and its reason says so.
    pub async fn store_record(&self, record: &CallRecord) -> Result<Submitted> {
        let subject = self.subjects.record(&record.status.call_id, record.status.callback_url.is_some());
        let (record, mut headers) = fit::record(record, self.largest_message())
            .map_err(|error| Error::Unreadable { subject: subject.clone(), reason: error.to_string() })?;
        if let Some(kept_until) = record.status.kept_until {
            let seconds = (kept_until - OffsetDateTime::now_utc()).as_seconds_f64().ceil().max(1.0);
            self.ledger.note_brief(&record.status.function, Duration::from_secs(seconds as u64)).await?;
            headers.insert(NATS_MESSAGE_TTL, format!("{seconds}s"));
        }
        self.finished.store(subject, headers, record.body.in_message().clone()).await
    }

    /// The record of a call, if it has finished and is still kept.
    pub async fn record(&self, id: &CallId) -> Result<Option<CallRecord>> {
        let subject = self.subjects.record_by_id(id);
        let Some(message) = find(&self.streams.calls, subject).await? else {
            return Ok(None);
        };
        read(&message).map(Some)
    }

    /// Waits until a call has its record, or until the deadline.
    pub async fn wait_for_record(&self, id: &CallId, deadline: Instant) -> Result<Option<CallRecord>> {
        let subject = self.subjects.record_by_id(id);
        // The subscription is there before the first look, so that no record comes between the two.
        let mut announced = self.client.subscribe(subject).await.map_err(Error::unavailable)?;
        self.client.flush().await.map_err(Error::unavailable)?;
        if let Some(record) = self.record(id).await? {
            return Ok(Some(record));
        }
        if timeout_at(deadline, announced.next()).await.is_err() {
            return self.record(id).await;
        }
        // Subscribers hear of a message a little before the stream has stored it.
        let stored_by = Instant::now() + Duration::from_secs(2);
        loop {
            let record = self.record(id).await?;
            if record.is_some() || Instant::now() >= stored_by {
                return Ok(record);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The queue of records whose callback is to be delivered.
    pub fn callbacks(&self) -> Queue<CallRecord> {
        let filter = self.subjects().record_callbacks();
        Queue::new(self, "CALLS", CALLBACKS.to_owned(), filter, |message| {
            wire::read_record(wire::headers(message), message.payload.clone())
        })
    }
}

pub(crate) async fn find(stream: &Stream, subject: String) -> Result<Option<StreamMessage>> {
    find_after(stream, subject, 0).await
}

/// The first message of a subject behind a place in the stream.
pub(crate) async fn find_after(stream: &Stream, subject: String, after: u64) -> Result<Option<StreamMessage>> {
    match stream.direct_get_next_for_subject(subject, Some(after.saturating_add(1))).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::unavailable(error)),
    }
}

pub(crate) fn read(message: &StreamMessage) -> Result<CallRecord> {
    wire::read_record(&message.headers, message.payload.clone())
        .map_err(|reason| Error::Unreadable { subject: message.subject.to_string(), reason })
}
