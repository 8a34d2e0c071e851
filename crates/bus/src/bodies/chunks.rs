//! Reading a large body chunk by chunk, as fast as its reader takes it.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{message::StreamMessage, stream::DirectGetErrorKind};
use bytes::Bytes;
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use skep_protocol::{CallBody, StoredBody};
use tokio::time::{Instant, sleep};

use crate::{Bodies, Connection, Error, Result, bodies::PIECE_NUMBER, wire};

/// How long a server that does not hand out a chunk is asked again.
const READ_TIMEOUT: Duration = Duration::from_secs(20);
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// What is left of a body.
struct Rest {
    nats: Arc<Connection>,
    body: StoredBody,
    next_piece: u64,
    next_sequence: u64,
    left: u64,
}

impl Bodies {
    /// A body as one piece in memory, up to this many bytes.
    pub async fn beginning_of(&self, body: &CallBody, most: usize) -> Result<Bytes> {
        let beginning = match body {
            CallBody::Whole(bytes) => bytes.clone(),
            CallBody::Stored(stored) => self.open(stored).await?.try_next().await?.unwrap_or_default(),
        };
        Ok(beginning.slice(..most.min(beginning.len())))
    }

    /// Opens a body, of which the first piece must be there. What does not come to its end whole ends with an error.
    pub async fn open(&self, body: &StoredBody) -> Result<BoxStream<'static, Result<Bytes>>> {
        let left = body.length;
        let mut rest = Rest { nats: Arc::clone(&self.nats), body: body.clone(), next_piece: 0, next_sequence: 1, left };
        // Boxed, because calls with small bodies have to have room for it, too.
        let first = Box::pin(rest.next()).await?;
        let others =
            stream::try_unfold(rest, |mut rest| async move { Ok(rest.next().await?.map(|piece| (piece, rest))) });
        Ok(stream::iter(first.map(Ok)).chain(others).boxed())
    }
}

impl Rest {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.left == 0 {
            return Ok(None);
        }
        let message = self.fetch().await?;
        let number = wire::text(&message.headers, PIECE_NUMBER).and_then(|number| number.parse().ok());
        let left = self.left.checked_sub(message.payload.len() as u64);
        let Some(left) = left.filter(|_| number == Some(self.next_piece)) else {
            return Err(self.gone());
        };
        self.left = left;
        self.next_piece += 1;
        self.next_sequence = message.sequence.saturating_add(1);
        Ok(Some(message.payload))
    }

    async fn fetch(&self) -> Result<StreamMessage> {
        let stream = self.nats.streams.bodies(self.body.key.kind);
        let give_up = Instant::now() + READ_TIMEOUT;
        loop {
            let subject = self.nats.subjects.body(&self.body.key);
            let error = match stream.direct_get_next_for_subject(subject, Some(self.next_sequence)).await {
                Ok(message) => return Ok(message),
                Err(error) => error,
            };
            // In a cluster a server may answer that does not have it yet.
            let is_gone = error.kind() == DirectGetErrorKind::NotFound;
            if Instant::now() >= give_up || is_gone && self.nats.kept.replicas < 2 {
                return Err(if is_gone { self.gone() } else { Error::unavailable(error) });
            }
            sleep(RETRY_DELAY).await;
        }
    }

    fn gone(&self) -> Error {
        let reason = format!("piece {} of the body is not there any more", self.next_piece);
        Error::Unreadable { subject: self.nats.subjects.body(&self.body.key), reason }
    }
}
