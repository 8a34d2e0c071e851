//! Consumers that sources have on streams of others, and their removal. A consumer of somebody else is never removed.

use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use futures_util::TryStreamExt;
use skep_protocol::SourceName;
use time::OffsetDateTime;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::{
    TopicLink, TopicStream,
    state::Place,
    stream::{is_missing, made, made_for},
};
use crate::{Error, Result, ServerUrlsError, Topics};

const REMOVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a source has read a stream of others last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPlace {
    pub source: SourceName,
    /// When the source was made, which tells it from another one of its name.
    pub source_made: OffsetDateTime,
    pub stream: String,
}

impl Topics {
    /// Where sources have read, and may still have a consumer; also those that are gone.
    pub async fn read_places(&self) -> Result<Vec<ReadPlace>> {
        let (all, beginning) = (self.nats.subjects.topic_places(), self.nats.subjects.topic_places());
        let beginning = beginning.trim_end_matches('*');
        let listed = self.nats.streams.topics.info_with_subjects(all).await.map_err(Error::unavailable)?;
        let subjects: Vec<(String, usize)> = listed.try_collect().await.map_err(Error::unavailable)?;
        let mut places = Vec::new();
        for source in subjects.iter().filter_map(|(subject, _)| subject.strip_prefix(beginning)?.parse().ok()) {
            let place = self.place(&source).await?.filter(|place| !place.is_left);
            places.extend(place.map(|Place { source_made, stream, .. }| ReadPlace { source, source_made, stream }));
        }
        Ok(places)
    }

    /// Removes the consumer that a source has left behind, as far as skep can without the login of a source that is gone.
    pub async fn leave(&self, left: &ReadPlace) -> Result<()> {
        let place = self.place(&left.source).await?.filter(|place| left.is(place));
        let Some(place) = place else { return Ok(()) };
        self.remove_consumer(&left.source, &place).await?;
        self.keep_place(&left.source, &Place { is_left: true, ..place }).await
    }

    /// Removes the consumer of a source that is gone, or reads another stream now. If its server does not let it, the log says what stays.
    pub async fn forget(&self, topic: &TopicStream) {
        let removed = self.remove_over(&topic.link, &topic.stream, &topic.source, topic.source_made).await;
        let (source, server) = (&topic.source, topic.link.server());
        removed.unwrap_or_else(|error| self.report_left(source, &topic.stream, server.as_deref(), &error));
    }

    /// Removes a consumer that no queue-worker knows any more.
    pub(super) async fn remove_consumer(&self, source: &SourceName, place: &Place) -> Result<()> {
        let servers = place.server.as_deref().map(str::parse).transpose();
        let link = self.link(servers.map_err(|error: ServerUrlsError| Error::unavailable(error))?, None);
        match self.remove_over(&link, &place.stream, source, place.source_made).await {
            // There may be a login that skep does not have, so it is not tried again.
            Err(error) if !link.is_own => {
                self.report_left(source, &place.stream, place.server.as_deref(), &error);
                Ok(())
            }
            removed => removed,
        }
    }

    async fn remove_over(
        &self,
        link: &TopicLink,
        stream: &str,
        source: &SourceName,
        source_made: OffsetDateTime,
    ) -> Result<()> {
        let remove = async {
            let stream = link.control().await?.get_stream_no_info(stream).await.map_err(Error::unavailable)?;
            self.remove_from(&stream, source, source_made).await
        };
        let removed = timeout(REMOVE_TIMEOUT, Box::pin(remove)).await;
        removed.unwrap_or_else(|_| Err(Error::unavailable("its server does not answer")))
    }

    fn report_left(&self, source: &SourceName, stream: &str, server: Option<&str>, error: &Error) {
        let (consumer, error) = (self.consumer(source), error.chain());
        match server {
            Some(server) => warn!(
                %source, server, stream, consumer, error,
                "the consumer of a source cannot be removed from another server and stays there; remove it with nats consumer rm STREAM CONSUMER"
            ),
            None => warn!(
                %source, stream, consumer, error,
                "the consumer of a source cannot be removed now; the next queue-worker that starts removes it"
            ),
        }
    }

    async fn remove_from<I>(&self, stream: &Stream<I>, source: &SourceName, source_made: OffsetDateTime) -> Result<()> {
        let name = self.consumer(source);
        match stream.consumer_info(&name).await {
            Ok(found) if made_for(&found) == Some(made(source_made)) => {
                stream.delete_consumer(&name).await.map_err(Error::unavailable)?;
                info!(%source, stream = found.stream_name, "the consumer of a source is removed");
            }
            Ok(_) => debug!(%source, "the consumer of this name was not made for this source, and stays"),
            Err(error) if is_missing(&error) => debug!(%source, "the consumer of a source is gone already"),
            Err(error) => return Err(Error::unavailable(error)),
        }
        Ok(())
    }
}

impl ReadPlace {
    fn is(&self, place: &Place) -> bool {
        self.stream == place.stream && self.source_made == place.source_made
    }
}
