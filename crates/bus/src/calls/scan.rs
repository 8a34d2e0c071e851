//! Scanning a stream, usually without the bodies of its messages.

use std::time::Duration;

use async_nats::{
    HeaderMap,
    jetstream::{
        consumer::{Consumer, DeliverPolicy, pull},
        stream::Stream,
    },
};
use bytes::Bytes;
use futures_util::StreamExt;
use time::OffsetDateTime;
use tokio::time::{Instant, timeout};

use crate::{Error, Result, calls::records};

/// A scan ends with an error when no message arrives within this time.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(5);
/// When nothing has come for this time, the messages that are left may have expired.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Messages of a subject in their order, as far as they were there when the look began.
pub(crate) struct Scan {
    /// They are asked for with the first look; how many there are is known before.
    messages: Option<Box<pull::Ordered>>,
    left: u64,
    /// The place of the last message that was seen.
    last: u64,
    subject: String,
    stream: Stream,
    consumer: Consumer<pull::OrderedConfig>,
}

/// A message, without its body unless that was asked for.
pub(crate) struct Seen {
    pub(crate) subject: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) published: OffsetDateTime,
    pub(crate) sequence: u64,
}

impl Scan {
    /// Begins behind a place in the stream.
    pub(crate) async fn begin(stream: &Stream, subject: String, after: u64) -> Result<Self> {
        let config = pull::OrderedConfig { headers_only: true, ..Self::config(subject, after) };
        Self::open(stream, config, after).await
    }

    /// The same with the bodies.
    pub(crate) async fn with_bodies(stream: &Stream, subject: String, after: u64) -> Result<Self> {
        Self::open(stream, Self::config(subject, after), after).await
    }

    fn config(subject: String, after: u64) -> pull::OrderedConfig {
        pull::OrderedConfig {
            filter_subject: subject,
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: after.saturating_add(1) },
            ..pull::OrderedConfig::default()
        }
    }

    /// Headers of messages that were stored then or later.
    pub(crate) async fn since(stream: &Stream, subject: String, start_time: OffsetDateTime) -> Result<Self> {
        let deliver_policy = DeliverPolicy::ByStartTime { start_time };
        let config = pull::OrderedConfig { headers_only: true, deliver_policy, ..Self::config(subject, 0) };
        Self::open(stream, config, 0).await
    }

    pub(crate) async fn open(stream: &Stream, config: pull::OrderedConfig, after: u64) -> Result<Self> {
        let subject = config.filter_subject.clone();
        let consumer = stream.create_consumer(config).await.map_err(Error::unavailable)?;
        let left = consumer.cached_info().num_pending;
        Ok(Self { messages: None, left, last: after, subject, stream: stream.clone(), consumer })
    }

    /// How many messages are left, those that come after the begin included.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Takes away what the server keeps for it; else it goes by itself after half a minute.
    pub(crate) async fn end(self) {
        drop(self.messages);
        let _ = self.stream.delete_consumer(&self.consumer.cached_info().name).await;
    }

    /// The next message; `None` when all have been seen.
    pub(crate) async fn next(&mut self) -> Result<Option<Seen>> {
        if self.left == 0 {
            return Ok(None);
        }
        let messages = match self.messages.take() {
            Some(messages) => messages,
            None => Box::new(Box::pin(self.consumer.clone().messages()).await.map_err(Error::unavailable)?),
        };
        let messages = self.messages.insert(messages);
        let give_up = Instant::now() + PROGRESS_TIMEOUT;
        let next = loop {
            match timeout(CHECK_INTERVAL, messages.next()).await {
                Ok(next) => break next,
                Err(error) if Instant::now() >= give_up => return Err(Error::unavailable(error)),
                // The messages that were left may have expired, or been removed.
                Err(_) => {
                    if records::find_after(&self.stream, self.subject.clone(), self.last).await?.is_none() {
                        return Ok(None);
                    }
                }
            }
        };
        let Some(message) = next else { return Ok(None) };
        let message = message.map_err(Error::unavailable)?;
        let Ok(info) = message.info() else { return Ok(None) };
        let (published, sequence) = (info.published, info.stream_sequence);
        self.last = sequence;
        // Some may have gone since the look began.
        self.left = self.left.saturating_sub(1).min(info.pending);
        let (message, _) = message.split();
        let (subject, headers) = (message.subject.to_string(), message.headers.unwrap_or_default());
        Ok(Some(Seen { subject, headers, body: message.payload, published, sequence }))
    }
}
