//! Messages of subjects that no stream stores for skep: each goes to one of all queue-workers.

use std::sync::Arc;

use async_nats::{Client, Subject, Subscriber};
use bytes::Bytes;
use futures_util::{StreamExt, future::try_join_all, stream::SelectAll};
use skep_protocol::SourceName;
use tracing::debug;

use super::{TopicLink, TopicMessage};
use crate::{Connection, Error, Result, Topics, inbound::requests::is_inbox};

/// The messages of a source's subjects as they come.
pub struct TopicSubscription {
    client: Client,
    subscribers: SelectAll<Subscriber>,
    nats: Arc<Connection>,
    is_own: bool,
}

/// Where the sender of a message wants the answer about what became of it.
#[derive(Clone, Debug)]
pub struct Reply {
    client: Client,
    to: Subject,
}

impl Topics {
    /// Begins to listen, in the queue group of the source.
    pub async fn subscribe(
        &self,
        source: &SourceName,
        subjects: &[String],
        link: &TopicLink,
    ) -> Result<TopicSubscription> {
        let client = link.outside.connect().await?.client();
        let group = format!("{}-{source}", self.nats.subjects.prefix());
        let subscribe = |subject: &String| client.queue_subscribe(subject.clone(), group.clone());
        let subscribers = try_join_all(subjects.iter().map(subscribe)).await.map_err(Error::unavailable)?;
        client.flush().await.map_err(Error::unavailable)?;
        let subscribers = subscribers.into_iter().collect();
        Ok(TopicSubscription { client, subscribers, nats: Arc::clone(&self.nats), is_own: link.is_own })
    }
}

impl TopicSubscription {
    /// The next message, and where its sender wants an answer; `None` if the connection is lost for good.
    pub async fn next(&mut self) -> Option<(TopicMessage, Option<Reply>)> {
        loop {
            let message = self.subscribers.next().await?;
            // A wildcard may stand for skep's prefix.
            if self.is_own && message.subject.split('.').next() == Some(self.nats.subjects.prefix()) {
                continue;
            }
            // A publisher that names another subject would have skep publish there with its own rights.
            let reply = message.reply.clone().filter(|reply| is_inbox(reply));
            let reply = reply.map(|to| Reply { client: self.client.clone(), to });
            return Some((TopicMessage::of(&message), reply));
        }
    }

    /// Lets other queue-workers have what comes from now on.
    pub async fn stop(&mut self) {
        for subscriber in self.subscribers.iter_mut() {
            if let Err(error) = subscriber.drain().await {
                debug!(%error, "a subscription has ended already");
            }
        }
    }
}

impl Reply {
    pub async fn send(&self, answer: Bytes) {
        if let Err(error) = self.client.publish(self.to.clone(), answer).await {
            debug!(%error, "the answer to a message was not sent");
        }
    }
}
