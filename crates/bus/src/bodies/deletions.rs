//! Deletes large bodies in the background.

use std::sync::Arc;

use async_nats::{Client, jetstream::stream::Stream};
use futures_util::StreamExt;
use skep_protocol::{BodyKey, BodyKind, Subjects};
use tokio::{sync::mpsc, time::timeout};
use tracing::debug;

use crate::{Error, Housekeeping, Result, Role, client::connect::REQUEST_TIMEOUT, streams::Streams};

/// Bodies that may wait to be deleted; the housekeeping finds any others.
const MAX_WAITING: usize = 1024;

/// A handle to have bodies deleted. Its task ends with the last handle.
#[derive(Clone)]
pub(crate) struct Discards(mpsc::Sender<BodyKey>);

impl Discards {
    /// Deletes them as the controller, or asks the controller to.
    pub(crate) fn start(client: Client, role: Role, streams: Arc<Streams>, subjects: Arc<Subjects>) -> Self {
        let (sender, mut receiver) = mpsc::channel::<BodyKey>(MAX_WAITING);
        // Nobody awaits its end: the housekeeping finds what is left.
        tokio::spawn(async move {
            while let Some(key) = receiver.recv().await {
                let deleted = if role.may_purge() {
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
    /// Deletes the bodies that other roles name, for as long as the connection lasts.
    pub async fn delete_discarded(&self) -> Result<()> {
        let subject = self.nats.subjects.discard();
        let mut discarded = self.nats.client.subscribe(subject).await.map_err(Error::unavailable)?;
        while let Some(message) = discarded.next().await {
            // A text that is no key names nothing.
            if let Some(key) = str::from_utf8(&message.payload).ok().and_then(|key| key.parse().ok()) {
                self.nats.discards.discard(key);
            }
        }
        Ok(())
    }
}

/// Removes all pieces of a body.
pub(crate) async fn remove(stream: &Stream, subjects: &Subjects, key: &BodyKey) -> Result<()> {
    let purge = stream.purge().filter(subjects.body(key));
    timeout(REQUEST_TIMEOUT, purge.into_future()).await.map_err(Error::unavailable)?.map_err(Error::unavailable)?;
    Ok(())
}

impl Streams {
    pub(crate) fn bodies(&self, kind: BodyKind) -> &Stream {
        match kind {
            BodyKind::Request => &self.requests,
            BodyKind::Result => &self.results,
        }
    }
}
