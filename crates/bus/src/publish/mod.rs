//! Storing messages: one with its acknowledgement, or several that the server commits together.

pub(crate) mod answer;
pub(crate) mod batch;
pub(crate) mod costs;
pub(crate) mod rates;
pub(crate) mod stalled;

use std::time::Duration;

use async_nats::{
    Client, HeaderMap, Request, RequestErrorKind,
    header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
    jetstream::{
        self, ErrorCode,
        context::{PublishError, PublishErrorKind},
        message::PublishMessage,
        response::Response,
    },
};
use bytes::Bytes;
use serde::Deserialize;
use tokio::time::timeout;

use crate::{Error, Result, fit::LARGEST_HEADERS, streams::supervisor::Missed};

/// What the server says of a message that it takes at no time, as HTTP does.
const BAD_REQUEST: usize = 400;
/// A message for the same subject is being stored in the cluster; what becomes of it decides.
const STREAM_WRONG_LAST_SEQUENCE_NOW: u64 = 10164;
const BATCH_ID: &str = "Nats-Batch-Id";
const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
const BATCH_COMMIT: &str = "Nats-Batch-Commit";

/// Publishes to streams; cheap to clone.
#[derive(Clone)]
pub(crate) struct Publisher {
    pub(crate) client: Client,
    pub(crate) jetstream: jetstream::Context,
    pub(crate) missed: Missed,
    /// How long an acknowledgement is awaited.
    pub(crate) ack_timeout: Duration,
}

/// A message to be stored.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) subject: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What the server says to the last message of a batch.
#[derive(Deserialize)]
struct Committed {
    count: usize,
}

/// What became of a batch.
pub(crate) enum Batch {
    Stored,
    /// The server refused the whole batch because of one message or of its own state; it may take the messages one by one.
    Refused,
}

impl Publisher {
    /// Stores a message and returns its number in its stream; `None` if it was not stored for what is there already.
    pub(crate) async fn publish(&self, message: Message) -> Result<Option<u64>> {
        let Message { subject, headers, body } = message;
        let message = PublishMessage::build().headers(headers).payload(body);
        let acknowledged = async {
            let acknowledgement = self.jetstream.send_publish(subject, message).await?;
            acknowledgement.await
        };
        match timeout(self.ack_timeout, acknowledged).await.map_err(Error::unavailable)? {
            Ok(stored) => Ok(Some(stored.sequence)),
            Err(error) => self.refused(error).map(|()| None),
        }
    }

    /// Hands the server a message of a batch that is not complete; numbers begin with 1, and subjects must differ.
    pub(crate) async fn publish_in_batch(&self, message: &Message, batch: &str, number: usize) -> Result<()> {
        let headers = in_batch(message, batch, number);
        let published = self.client.publish_with_headers(message.subject.clone(), headers, message.body.clone());
        published.await.map_err(|error| match error.kind() {
            async_nats::PublishErrorKind::MaxPayloadExceeded => self.too_large(),
            _ => Error::unavailable(error),
        })
    }

    /// Hands over the last message of a batch, of which the others are there, and has it stored with one commit.
    pub(crate) async fn commit_batch(&self, last: &Message, batch: &str, number: usize) -> Result<Batch> {
        let mut headers = in_batch(last, batch, number);
        headers.insert(BATCH_COMMIT, "1");
        let commit = Request::new().headers(headers).payload(last.body.clone()).timeout(Some(self.ack_timeout));
        let answer = self.client.send_request(last.subject.clone(), commit).await.map_err(|error| {
            match error.kind() {
                RequestErrorKind::MaxPayloadExceeded => return self.too_large(),
                RequestErrorKind::NoResponders => self.missed.notify(),
                _ => {}
            }
            Error::unavailable(error)
        })?;
        match serde_json::from_slice(&answer.payload) {
            Ok(Response::Ok(Committed { count })) if count == number => Ok(Batch::Stored),
            Ok(Response::Err { .. }) => Ok(Batch::Refused),
            Ok(Response::Ok(Committed { count })) => {
                Err(Error::unavailable(format!("a batch of {number} was acknowledged as {count}")))
            }
            Err(error) => Err(Error::unavailable(error)),
        }
    }

    /// No error is that something is there already.
    fn refused(&self, error: PublishError) -> Result<()> {
        if error.kind() == PublishErrorKind::MaxPayloadExceeded {
            return Err(self.too_large());
        }
        if error.kind() == PublishErrorKind::StreamNotFound {
            self.missed.notify();
        }
        let cause = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<jetstream::Error>());
        let Some(cause) = cause else {
            return Err(Error::unavailable(error));
        };
        match cause.error_code() {
            ErrorCode::STREAM_WRONG_LAST_SEQUENCE => Ok(()),
            ErrorCode::STREAM_STORE_FAILED
            | ErrorCode::INSUFFICIENT_RESOURCES
            | ErrorCode::STORAGE_RESOURCES_EXCEEDED
            | ErrorCode::MEMORY_RESOURCES_EXCEEDED => Err(Error::Full(error.into())),
            ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM => Err(Error::TooLarge { limit: LARGEST_HEADERS }),
            ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => Err(self.too_large()),
            code if cause.code() == BAD_REQUEST && code.0 != STREAM_WRONG_LAST_SEQUENCE_NOW => {
                Err(Error::Rejected(error.into()))
            }
            _ => Err(Error::unavailable(error)),
        }
    }

    fn too_large(&self) -> Error {
        Error::TooLarge { limit: self.client.max_payload() }
    }
}

impl Message {
    /// The only message of its subject: the server refuses it if there is one already, whatever the stream's own settings are.
    pub(crate) fn only_one(subject: String, mut headers: HeaderMap, body: Bytes) -> Self {
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
        Self { subject, headers, body }
    }

    /// About what it takes on the wire.
    pub(crate) fn size(&self) -> usize {
        self.subject.len() + self.body.len()
    }
}

fn in_batch(message: &Message, id: &str, number: usize) -> HeaderMap {
    let mut headers = message.headers.clone();
    headers.insert(BATCH_ID, id);
    headers.insert(BATCH_SEQUENCE, number.to_string());
    headers
}
