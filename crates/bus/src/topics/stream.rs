//! Messages of a stream: one durable consumer for each source, which all queue-workers read.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, DeliverPolicy, Info, PullConsumer, pull},
    context::{ConsumerInfoError, ConsumerInfoErrorKind, GetStreamErrorKind},
    stream::Stream,
};
use skep_protocol::{SourceName, TopicStart};
use time::OffsetDateTime;
use tracing::info;

use super::{TopicLink, TopicMessage, state::Place};
use crate::{Delivery, Error, Queue, Result, Topics, queue::delivery::Source, wire::Unreadable};

/// A message whose event is not stored within this time is given to another queue-worker.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// Messages that are delivered and not stored as events yet.
const MAX_ACK_PENDING: i64 = 256;
/// NATS's codes for what is not there.
const NOT_FOUND: usize = 404;
/// In a consumer: the source that it was made for, by the time at which that was made.
const SOURCE_MADE: &str = "skep-source-made";

/// Which messages of which stream are events of a source.
#[derive(Clone, Debug)]
pub struct TopicStream {
    pub source: SourceName,
    pub source_made: OffsetDateTime,
    pub link: TopicLink,
    pub stream: String,
    /// None are all subjects of the stream.
    pub subjects: Vec<String>,
    pub start: TopicStart,
    /// It is skep's own stream, which holds only what is no event yet.
    pub is_captured: bool,
}

impl TopicStream {
    fn is_at(&self, place: &Place) -> bool {
        place.stream == self.stream && place.server == self.link.server()
    }

    /// What its declaration names.
    fn name(&self) -> String {
        let of_bucket = self.subjects.iter().any(|subject| subject.starts_with("$KV."));
        match self.stream.strip_prefix("KV_").filter(|_| of_bucket) {
            Some(bucket) => format!("bucket {bucket}"),
            None => format!("stream {}", self.stream),
        }
    }
}

/// How far the consumer of a source has come.
#[derive(Clone, Copy, Debug)]
pub struct TopicProgress {
    /// Messages that are not stored as events yet.
    pub pending: u64,
    /// Some were delivered more than once.
    pub is_redelivered: bool,
    /// How much of its room the stream takes, from 0 to 1, where skep has made it.
    pub filled: f64,
}

/// A queue that reads a stream of others.
#[derive(Clone)]
pub(crate) struct TopicSource {
    topics: Topics,
    pub(crate) topic: Arc<TopicStream>,
}

impl Topics {
    /// The messages of a stream, each to be acknowledged when its events are stored.
    pub fn queue(&self, topic: &Arc<TopicStream>) -> Queue<TopicMessage> {
        let source = TopicSource { topics: self.clone(), topic: Arc::clone(topic) };
        Queue::of_topic(&self.nats, source, |message| Ok::<_, Unreadable>(TopicMessage::of(message)))
    }

    /// The name of a source's stream of captured messages.
    pub fn captured(&self, source: &SourceName) -> String {
        self.nats.subjects.captured(source)
    }

    /// Looks how far a source has come, and keeps it for the case that its consumer is deleted.
    pub async fn progress(&self, topic: &TopicStream) -> Result<TopicProgress> {
        let stream = self.stream(topic, &topic.link.control().await?).await?;
        let info =
            stream.consumer_info(self.consumer(&topic.source)).await.map_err(|error| missing_consumer(&error))?;
        if !topic.is_captured {
            self.note_place(topic, &stream, &info).await?;
        }
        let state = stream.cached_info();
        let filled = match (topic.is_captured, state.config.max_bytes) {
            (true, max @ 1..) => state.state.bytes as f64 / max as f64,
            _ => 0.0,
        };
        let pending = info.num_pending + info.num_ack_pending as u64;
        Ok(TopicProgress { pending, is_redelivered: info.num_redelivered > 0, filled })
    }

    pub(super) async fn stream(&self, topic: &TopicStream, context: &jetstream::Context) -> Result<Stream> {
        let error = match context.get_stream(&topic.stream).await {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        match error.kind() {
            GetStreamErrorKind::JetStream(error) if error.code() == NOT_FOUND => {
                self.note_missing(topic).await?;
                Err(Error::unavailable(format!("{} does not exist", topic.name())))
            }
            _ => Err(Error::unavailable(error)),
        }
    }

    /// Has a stream that is not there yet be read from its beginning: all of it is newer than its source.
    async fn note_missing(&self, topic: &TopicStream) -> Result<()> {
        if topic.is_captured || topic.start != TopicStart::New {
            return Ok(());
        }
        // What is known of this source, or is still to be removed, stays.
        let place = self.place(&topic.source).await?.filter(|place| !place.is_left);
        if place.is_some_and(|place| place.source_made == topic.source_made || !topic.is_at(&place)) {
            return Ok(());
        }
        let nothing = Place {
            stream: topic.stream.clone(),
            server: topic.link.server(),
            stream_made: OffsetDateTime::UNIX_EPOCH,
            source_made: topic.source_made,
            sequence: 0,
            is_left: false,
        };
        self.keep_place(&topic.source, &nothing).await
    }

    /// The name of a source's consumer.
    pub(super) fn consumer(&self, source: &SourceName) -> String {
        format!("{}-{source}", self.nats.subjects.prefix())
    }

    async fn note_place(&self, topic: &TopicStream, stream: &Stream, info: &Info) -> Result<()> {
        let place = Place {
            stream: topic.stream.clone(),
            server: topic.link.server(),
            stream_made: stream.cached_info().created,
            source_made: topic.source_made,
            sequence: info.ack_floor.stream_sequence,
            is_left: false,
        };
        if self.place(&topic.source).await?.as_ref() != Some(&place) {
            self.keep_place(&topic.source, &place).await?;
        }
        Ok(())
    }
}

impl TopicSource {
    /// The consumer: as it is there, as it should be, or made anew from where the one before has come to.
    pub(crate) async fn open(&self) -> Result<(PullConsumer, Source)> {
        let Self { topics, topic } = self;
        let control = topics.stream(topic, &topic.link.control().await?).await?;
        let name = topics.consumer(&topic.source);
        let info = match control.consumer_info(&name).await {
            Ok(info) if made_for(&info) == Some(made(topic.source_made)) => self.with_subjects(&control, info).await?,
            // It was made for another source of this name.
            Ok(_) => {
                control.delete_consumer(&name).await.map_err(Error::unavailable)?;
                self.make(&control).await?
            }
            Err(error) if is_missing(&error) => self.make(&control).await?,
            Err(error) => return Err(Error::unavailable(error)),
        };
        let stream_made = control.cached_info().created;
        let context = Box::pin(topic.link.outside.connect()).await?;
        let stream = context.get_stream_no_info(&topic.stream).await.map_err(Error::unavailable)?;
        let consumer: PullConsumer = stream.get_consumer(&name).await.map_err(Error::Unavailable)?;
        Ok((consumer, Source { stream_made, consumer_made: info.created }))
    }

    /// Has the consumer read the subjects that are declared now.
    async fn with_subjects(&self, stream: &Stream, info: Info) -> Result<Info> {
        let mut known = info.config.filter_subjects.clone();
        known.extend(Some(info.config.filter_subject.clone()).filter(|subject| !subject.is_empty()));
        if known == self.topic.subjects {
            return Ok(info);
        }
        // All else of a consumer stays as it was made.
        let config = self.config(info.config.deliver_policy);
        let consumer = stream.update_consumer(config).await.map_err(Error::unavailable)?;
        info!(source = %self.topic.source, "the consumer of a source reads other subjects now");
        Ok(consumer.cached_info().clone())
    }

    async fn make(&self, stream: &Stream) -> Result<Info> {
        let Self { topics, topic } = self;
        let place = if topic.is_captured { None } else { topics.place(&topic.source).await? };
        if let Some(before) = place.as_ref().filter(|place| !topic.is_at(place) && !place.is_left) {
            // It was changed while no queue-worker ran.
            topics.remove_consumer(&topic.source, before).await?;
        }
        let place = place.filter(|place| place.source_made == topic.source_made && topic.is_at(place));
        let start = if topic.is_captured { TopicStart::All } else { topic.start };
        let begin = begin(start, stream.cached_info().created, place.as_ref());
        let made = stream.create_consumer_strict(self.config(begin)).await;
        let consumer = match made {
            Ok(consumer) => consumer,
            // Another queue-worker may have made it.
            Err(error) => match stream.get_consumer(&topics.consumer(&topic.source)).await {
                Ok(consumer) => consumer,
                Err(_) => return Err(Error::unavailable(error)),
            },
        };
        let info = consumer.cached_info().clone();
        if !topic.is_captured {
            topics.note_place(topic, stream, &info).await?;
        }
        info!(source = %topic.source, stream = topic.stream, ?begin, "the consumer of a source is made");
        Ok(info)
    }

    fn config(&self, begin: DeliverPolicy) -> pull::Config {
        let Self { topics, topic } = self;
        pull::Config {
            durable_name: Some(topics.consumer(&topic.source)),
            description: Some(format!("events of source {}", topic.source)),
            deliver_policy: begin,
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_deliver: -1,
            max_ack_pending: MAX_ACK_PENDING,
            filter_subjects: topic.subjects.clone(),
            metadata: HashMap::from([(SOURCE_MADE.to_owned(), made(topic.source_made))]),
            ..pull::Config::default()
        }
    }
}

/// Where a consumer that is made begins: by the place of the one before, as far as there was one of this source and stream.
fn begin(start: TopicStart, stream_made: OffsetDateTime, place: Option<&Place>) -> DeliverPolicy {
    match place {
        Some(place) if place.stream_made == stream_made => {
            DeliverPolicy::ByStartSequence { start_sequence: place.sequence + 1 }
        }
        // The stream was made meanwhile, and nothing of it was read yet.
        Some(_) => DeliverPolicy::All,
        None => match start {
            TopicStart::New => DeliverPolicy::New,
            TopicStart::All => DeliverPolicy::All,
            TopicStart::At(start_time) => DeliverPolicy::ByStartTime { start_time },
            TopicStart::After(sequence) => {
                DeliverPolicy::ByStartSequence { start_sequence: sequence.saturating_add(1) }
            }
        },
    }
}

/// How a consumer names the source that it was made for.
pub(super) fn made(source_made: OffsetDateTime) -> String {
    source_made.unix_timestamp_nanos().to_string()
}

pub(super) fn made_for(info: &Info) -> Option<String> {
    info.config.metadata.get(SOURCE_MADE).cloned()
}

pub(super) fn is_missing(error: &ConsumerInfoError) -> bool {
    match error.kind() {
        ConsumerInfoErrorKind::NotFound => true,
        ConsumerInfoErrorKind::JetStream(error) => error.code() == NOT_FOUND,
        _ => false,
    }
}

fn missing_consumer(error: &ConsumerInfoError) -> Error {
    if is_missing(error) { Error::unavailable("the consumer is gone") } else { Error::unavailable(error.to_string()) }
}

impl Delivery<TopicMessage> {
    /// What names its event, each time that it is delivered: when its stream was made, and its number there.
    pub fn event_id(&self) -> String {
        event_id(self.source.stream_made, self.sequence)
    }
}

pub(super) fn event_id(stream_made: OffsetDateTime, sequence: u64) -> String {
    // A stream that was made anew begins at the same numbers again.
    format!("js-{:x}-{sequence}", stream_made.unix_timestamp_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_goes_on_where_the_one_before_has_come_to() {
        let (then, now) = (OffsetDateTime::UNIX_EPOCH, OffsetDateTime::UNIX_EPOCH + Duration::from_secs(9));
        let place = |stream_made| Place {
            stream: "S".to_owned(),
            server: None,
            stream_made,
            source_made: then,
            sequence: 41,
            is_left: false,
        };
        assert_eq!(begin(TopicStart::New, now, None), DeliverPolicy::New);
        let after = |sequence| DeliverPolicy::ByStartSequence { start_sequence: sequence };
        assert_eq!(begin(TopicStart::After(7), now, None), after(8));
        assert_eq!(begin(TopicStart::New, now, Some(&place(now))), after(42));
        // It was made anew.
        assert_eq!(begin(TopicStart::New, now, Some(&place(then))), DeliverPolicy::All);
    }
}
