//! Deletes large bodies in the background.

use std::sync::Arc;

use async_nats::jetstream::stream::Stream;
use skep_protocol::{BodyKey, BodyKind, Subjects};
use tokio::{sync::mpsc, time::timeout};
use tracing::debug;

use crate::{Error, Result, client::connect::REQUEST_TIMEOUT, streams::Streams};

/// Bodies that may wait to be deleted; the housekeeping finds any others.
const MAX_WAITING: usize = 1024;

/// A handle to have bodies deleted. Its task ends with the last handle.
#[derive(Clone)]
pub(crate) struct Discards(mpsc::Sender<BodyKey>);

impl Discards {
    pub(crate) fn start(streams: Arc<Streams>, subjects: Arc<Subjects>) -> Self {
        let (sender, mut receiver) = mpsc::channel::<BodyKey>(MAX_WAITING);
        // Nobody awaits its end: the housekeeping finds what is left.
        tokio::spawn(async move {
            while let Some(key) = receiver.recv().await {
                if let Err(error) = remove(streams.bodies(key.kind), &subjects, &key).await {
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
