//! Publishing an answer to a subject that the caller named.

use std::time::Duration;

use async_nats::{RequestErrorKind, jetstream::context::GetStreamByNameErrorKind};
use bytes::Bytes;
use http::HeaderMap;

use crate::{Error, Outcomes, Result, wire};

/// A subscriber that does not answer has received the message after this time.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// Who took what was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// A stream has stored it.
    Stored,
    /// Somebody listens, and no stream stores it.
    Received,
    Unheard,
}

impl Outcomes {
    /// Publishes with HTTP headers as plain ones; returns when it is stored, received, or known to be neither.
    pub async fn publish_answer(&self, subject: String, headers: &HeaderMap, body: Bytes) -> Result<Announced> {
        let headers = wire::plain_headers(headers);
        match self.nats.jetstream.stream_by_subject(subject.clone()).await {
            Ok(_) => {
                // The stream may refuse it on a condition of its own, as one that holds one message per subject.
                let stored = self.nats.publish(subject, headers, body).await?;
                return stored
                    .map(|_| Announced::Stored)
                    .ok_or_else(|| Error::unavailable("the stream takes no further message on this subject"));
            }
            Err(error) if error.kind() == GetStreamByNameErrorKind::NotFound => {}
            Err(error) => return Err(Error::unavailable(error)),
        }
        // As a request, because the server tells at once if nobody listens.
        let request = async_nats::Request::new().headers(headers).payload(body).timeout(Some(ANSWER_TIMEOUT));
        match self.nats.client.send_request(subject, request).await {
            Ok(_) => Ok(Announced::Received),
            Err(error) => match error.kind() {
                RequestErrorKind::TimedOut => Ok(Announced::Received),
                RequestErrorKind::NoResponders => Ok(Announced::Unheard),
                RequestErrorKind::MaxPayloadExceeded => Err(Error::TooLarge { limit: self.nats.largest_message() }),
                _ => Err(Error::unavailable(error)),
            },
        }
    }
}
