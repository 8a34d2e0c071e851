//! Removes large bodies that are over, beside whatever goes on.

use std::sync::Arc;

use async_nats::jetstream::stream::Stream;
use skep_protocol::{BodyKey, BodyKind, Subjects};
use tokio::{sync::mpsc, time::timeout};
use tracing::debug;

use crate::{Error, Result, client::connect::REQUEST_DEADLINE, streams::Streams};

/// What may wait to be removed; what comes beyond is found by the housekeeping.
const MAX_WAITING: usize = 1024;

/// The way to have a body removed. Its task ends with the last handle on it.
#[derive(Clone)]
pub(crate) struct Discards(mpsc::Sender<BodyKey>);

impl Discards {
    pub(crate) fn start(streams: Arc<Streams>, subjects: Arc<Subjects>) -> Self {
        let (sender, mut receiver) = mpsc::channel::<BodyKey>(MAX_WAITING);
        // Nobody awaits its end: the housekeeping finds what is left.
        tokio::spawn(async move {
            while let Some(key) = receiver.recv().await {
                if let Err(error) = remove(streams.bodies(key.kind), &subjects, &key).await {
                    debug!(error = error.chain(), %key, "a body is not removed yet");
                }
            }
        });
        Self(sender)
    }

    pub(crate) fn discard(&self, key: BodyKey) {
        // It is no loss if too much waits already.
        let _ = self.0.try_send(key);
    }
}

/// Removes all pieces of a body.
pub(crate) async fn remove(stream: &Stream, subjects: &Subjects, key: &BodyKey) -> Result<()> {
    let purge = stream.purge().filter(subjects.body(key));
    timeout(REQUEST_DEADLINE, purge.into_future()).await.map_err(Error::unavailable)?.map_err(Error::unavailable)?;
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
