//! How far a source has come with its topic: the place in its stream, and what keeps it from going on.

use async_nats::jetstream::stream::{DirectGetErrorKind, LastRawMessageErrorKind};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use skep_protocol::{SourceName, TopicState};
use time::OffsetDateTime;
use tracing::debug;

use crate::{Error, Result, Topics};

/// From where a source goes on if its consumer is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Place {
    pub(super) stream: String,
    /// The server of the stream, unless it is in skep's own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<String>,
    /// When the stream was made, which tells it from another one of its name.
    #[serde(with = "time::serde::rfc3339")]
    pub(super) stream_made: OffsetDateTime,
    /// When the source was made; another one of its name begins anew.
    #[serde(with = "time::serde::rfc3339")]
    pub(super) source_made: OffsetDateTime,
    /// All messages up to here are stored as events.
    pub(super) sequence: u64,
    /// It reads there no more, and has no consumer there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_left: bool,
}

impl Topics {
    /// How far a source has come, by the last report of a queue-worker.
    pub async fn state(&self, source: &SourceName) -> Result<Option<TopicState>> {
        self.last(self.nats.subjects.topic_state(source)).await
    }

    /// Tells it. Nothing depends on it.
    pub async fn publish_state(&self, source: &SourceName, state: &TopicState) {
        let subject = self.nats.subjects.topic_state(source);
        let Ok(body) = serde_json::to_vec(state) else { return };
        if let Err(error) = self.nats.client.publish(subject, body.into()).await {
            debug!(%error, %source, "the state of a source cannot be published");
        }
    }

    pub(super) async fn place(&self, source: &SourceName) -> Result<Option<Place>> {
        self.last(self.nats.subjects.topic_place(source)).await
    }

    pub(super) async fn keep_place(&self, source: &SourceName, place: &Place) -> Result<()> {
        let body = serde_json::to_vec(place).map_err(Error::unavailable)?;
        let sent = self.nats.jetstream.publish(self.nats.subjects.topic_place(source), body.into()).await;
        sent.map_err(Error::unavailable)?.await.map_err(Error::unavailable)?;
        Ok(())
    }

    async fn last<T: DeserializeOwned>(&self, subject: String) -> Result<Option<T>> {
        let stream = &self.nats.streams.topics;
        let body = if self.nats.kept.replicas > 1 {
            // Not from a replica that is behind.
            match stream.get_last_raw_message_by_subject(&subject).await {
                Ok(message) => message.payload,
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => return Ok(None),
                Err(error) => return Err(Error::unavailable(error)),
            }
        } else {
            match stream.direct_get_last_for_subject(&subject).await {
                Ok(message) => message.payload,
                Err(error) if error.kind() == DirectGetErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(Error::unavailable(error)),
            }
        };
        let read = serde_json::from_slice(&body);
        read.map(Some).map_err(|error| Error::Unreadable { subject, reason: error.to_string() })
    }
}
