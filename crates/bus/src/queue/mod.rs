//! A queue of deliveries: a durable consumer that any number of workers read.

pub(crate) mod backlog;
pub(crate) mod delivery;
pub(crate) mod depth;
pub(crate) mod lanes;
pub mod life;
pub(crate) mod next_step;
pub(crate) mod overdue;
pub(crate) mod parked;
pub(crate) mod relocate;
pub(crate) mod run_lease;
pub(crate) mod upcoming;

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, PullConsumer, pull},
};
use futures_util::StreamExt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    Connection, Delivery, Error, Place, Result, client::connect::Outside, client::connection::LastConnected,
    queue::delivery::Source, topics::TopicSource, wire::Unreadable,
};

/// A delivery that is neither finished nor extended for this long is given to another worker.
///
/// A worker that only seems to be gone still answers that it holds its calls, so this may be short.
pub(crate) const ACK_TIMEOUT: Duration = Duration::from_secs(9);
/// How long one pull waits for messages.
const PULL_TIMEOUT: Duration = Duration::from_secs(5);
/// A pull that received nothing within this time, not even its end, is given up.
const PULL_ANSWER_TIMEOUT: Duration = PULL_TIMEOUT.saturating_add(Duration::from_secs(5));

/// Messages of one stream, each read as `T`, handed out to be finished.
pub struct Queue<T> {
    nats: Arc<Connection>,
    stream: String,
    name: String,
    filter: String,
    read: fn(&async_nats::Message) -> Result<T, Unreadable>,
    place: Place,
    /// Whether other services write what it hands out, so that it needs a connection of its own.
    outside: Option<Arc<Outside>>,
    /// The stream of another service, if it is one.
    topic: Option<TopicSource>,
    open: Option<(PullConsumer, Source)>,
}

impl<T> Queue<T> {
    pub(crate) fn new(
        nats: &Arc<Connection>,
        stream: &str,
        name: String,
        filter: String,
        read: fn(&async_nats::Message) -> Result<T, Unreadable>,
    ) -> Self {
        let (nats, stream) = (Arc::clone(nats), nats.subjects.stream(stream));
        Self { nats, stream, name, filter, read, place: Place::Elsewhere, outside: None, topic: None, open: None }
    }

    /// A queue of messages that others have stored.
    pub(crate) fn of_topic(
        nats: &Arc<Connection>,
        topic: TopicSource,
        read: fn(&async_nats::Message) -> Result<T, Unreadable>,
    ) -> Self {
        let outside = Some(Arc::clone(&topic.topic.link.outside));
        Self { outside, topic: Some(topic), ..Self::new(nats, "", String::new(), String::new(), read) }
    }

    /// The next deliveries, at most `limit`; an empty answer means that none came for a while, or that `stop` is cancelled.
    ///
    /// What was handed out is always returned, because nobody else gets it before its deadline.
    /// After an error the consumer is looked up, or made, again.
    pub async fn next(&mut self, limit: usize, stop: &CancellationToken) -> Result<Vec<Delivery<T>>> {
        let (consumer, source) = match self.open.take() {
            Some(open) => open,
            None => self.open().await?,
        };
        // What is there now, and if there is nothing, the first message that comes.
        let mut deliveries = self.drain(source, consumer.fetch().max_messages(limit).messages().await).await?;
        if deliveries.is_empty() {
            let pull = consumer.batch().max_messages(1).expires(PULL_TIMEOUT);
            let first = async { self.drain(source, pull.messages().await).await };
            tokio::select! {
                biased;
                first = first => deliveries = first?,
                () = stop.cancelled() => {}
            }
        }
        self.open = Some((consumer, source));
        Ok(deliveries)
    }

    /// Creates the consumer, so that the readers of this queue get what is stored from now on.
    pub async fn prepare(&mut self) -> Result<()> {
        if self.open.is_none() {
            self.open = Some(self.open().await?);
        }
        Ok(())
    }

    /// Says where its deliveries come from.
    pub(crate) fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// Takes its deliveries over a connection of its own, which is replaced after an error.
    pub(crate) fn over_its_own_connection(self) -> Self {
        Self { outside: Some(Arc::clone(&self.nats.outside)), ..self }
    }

    /// When the connection was made that deliveries come over.
    fn connected(&self) -> &LastConnected {
        self.outside.as_ref().map_or(&self.nats.connected, |outside| &outside.connected)
    }

    async fn open(&self) -> Result<(PullConsumer, Source)> {
        if let Some(topic) = &self.topic {
            return Box::pin(topic.open()).await;
        }
        // The worker decides how often a message is tried, and how many messages it holds.
        let config = pull::Config {
            durable_name: Some(self.name.clone()),
            filter_subject: self.filter.clone(),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_TIMEOUT,
            max_deliver: -1,
            max_ack_pending: -1,
            ..pull::Config::default()
        };
        let jetstream = match &self.outside {
            Some(outside) => Box::pin(outside.connect()).await?,
            None => self.nats.deliveries.clone(),
        };
        let stream = jetstream.get_stream(&self.stream).await.map_err(|error| {
            self.nats.missed.notify();
            Error::unavailable(error)
        })?;
        let consumer = stream.create_consumer(config).await.map_err(Error::unavailable)?;
        let source =
            Source { stream_made: stream.cached_info().created, consumer_made: consumer.cached_info().created };
        Ok((consumer, source))
    }

    async fn drain<E>(
        &self,
        source: Source,
        batch: std::result::Result<jetstream::consumer::pull::Batch, E>,
    ) -> Result<Vec<Delivery<T>>>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let mut batch = batch.map_err(Error::unavailable)?;
        let mut deliveries = Vec::new();
        let mut connections = self.connected().changes();
        loop {
            // The answer to a pull is lost when the server dies; without a timeout the client would wait for ever.
            let next = tokio::select! {
                biased;
                next = timeout(PULL_ANSWER_TIMEOUT, batch.next()) => next.ok().flatten(),
                // Over another connection it does not come.
                _ = connections.changed() => None,
            };
            let Some(message) = next else { break };
            match message {
                Ok(message) => {
                    deliveries.extend(Delivery::new(message, self.place, source, self.connected(), self.read));
                }
                // What was already handed out must be used, or it would wait for its ack deadline.
                Err(error) if deliveries.is_empty() => return Err(Error::Unavailable(error)),
                Err(_) => break,
            }
        }
        Ok(deliveries)
    }
}
