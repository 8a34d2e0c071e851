//! Deletes large bodies in the background.

use std::sync::Arc;

use async_nats::{Client, jetstream};
use futures_util::{Stream, StreamExt};
use skep_protocol::{BodyKey, BodyKind, Subjects};
use tokio::{sync::mpsc, time::timeout};
use tracing::debug;

use crate::{Error, Housekeeping, Result, Role, client::connect::REQUEST_TIMEOUT, streams::Streams};

/// Bodies that may wait to be deleted; the housekeeping finds any others.
const MAX_WAITING: usize = 1024;

/// Queue-workers share what others ask them to delete.
const QUEUE_GROUP: &str = "skep-queue-worker";

/// A handle to have bodies deleted. Its task ends with the last handle.
#[derive(Clone)]
pub(crate) struct Discards(mpsc::Sender<BodyKey>);

impl Discards {
    /// Deletes them as a queue-worker, or asks queue-workers to.
    pub(crate) fn start(client: Client, role: Role, streams: Arc<Streams>, subjects: Arc<Subjects>) -> Self {
        let (sender, mut receiver) = mpsc::channel::<BodyKey>(MAX_WAITING);
        // Nobody awaits its end: the housekeeping finds what is left.
        tokio::spawn(async move {
            while let Some(key) = receiver.recv().await {
                let deleted = if role.purges_bodies() {
                    remove(streams.bodies(key.kind), &subjects, &key).await
                } else {
                    let asked = client.publish(subjects.discard(), key.to_string().into()).await;
                    asked.map_err(Error::unavailable)
                };
                if let Err(error) = deleted {
                    debug!(error = error.chain(), %key, "a large body could not be deleted; housekeeping will delete it");
                }
            }
        });
        Self(sender)
    }

    pub(crate) fn discard(&self, key: BodyKey) {
        // If too many wait already, the housekeeping finds this one.
        let _ = self.0.try_send(key);
    }
}

impl Housekeeping {
    /// The bodies that other roles want to have deleted; each goes to one worker.
    pub async fn discarded_bodies(&self) -> Result<impl Stream<Item = BodyKey> + use<>> {
        let subscribed = self.nats.client.queue_subscribe(self.nats.subjects.discard(), QUEUE_GROUP.to_owned()).await;
        let asked = subscribed.map_err(Error::unavailable)?;
        Ok(asked.filter_map(async |message| str::from_utf8(&message.payload).ok()?.parse().ok()))
    }
}

/// Removes all pieces of a body.
pub(crate) async fn remove(stream: &jetstream::stream::Stream, subjects: &Subjects, key: &BodyKey) -> Result<()> {
    let purge = stream.purge().filter(subjects.body(key));
    timeout(REQUEST_TIMEOUT, purge.into_future()).await.map_err(Error::unavailable)?.map_err(Error::unavailable)?;
    Ok(())
}

impl Streams {
    pub(crate) fn bodies(&self, kind: BodyKind) -> &jetstream::stream::Stream {
        match kind {
            BodyKind::Request => &self.requests,
            BodyKind::Result => &self.results,
        }
    }
}
