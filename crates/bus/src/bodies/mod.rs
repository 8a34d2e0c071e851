//! Large bodies: stored in chunks in a stream of their own; the message that they belong to only references them.
//!
//! The chunks are stored before that message, and deleted when its call, record or dead letter is.
//! A crash in between leaves orphaned chunks, see [`orphans`].
//! This is not the object store of NATS, because that keeps a tombstone per deleted object, and partial uploads.

pub(crate) mod chunks;
pub(crate) mod deletions;
pub(crate) mod orphans;

use async_nats::{HeaderMap, header::NATS_MESSAGE_ID};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use skep_protocol::{BodyKey, BodyKind, CallBody, CallId, StoredBody};
use tokio::time::{Duration, Instant, sleep};
use tracing::debug;

use crate::{Bodies, Error, Result, publish::Message};

/// The length of a piece, unless the server takes only less.
const PIECE: usize = 512 * 1024;
/// What is kept free of a message for headers: 1 MiB, or an eighth where that is less.
const HEADER_RESERVE: usize = 1024 * 1024;
/// The free space is checked once for this many chunks.
const CHUNKS_PER_CHECK: u64 = 32;
/// How long a server that does not store a chunk is tried again, because a cluster may elect a leader, or NATS may restart.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
const RETRY_DELAY: Duration = Duration::from_millis(200);
/// Which piece of its body a message is, from 0.
pub(crate) const PIECE_NUMBER: &str = "Skep-Piece";

/// Why a body was not kept; nothing of it is.
#[derive(Debug)]
pub enum NotKept<E> {
    /// It broke off.
    Broken(E),
    TooLarge,
    Bus(Error),
}

impl Bodies {
    /// The largest body that travels in a message: what leaves room for headers, or what was asked for.
    fn largest_in_message(&self) -> usize {
        let most = most_in_message(self.nats.largest_message());
        self.nats.kept.large_body.map_or(most, |wanted| usize::try_from(wanted).unwrap_or(most).min(most))
    }

    /// Takes a body as it comes: whole if it fits into a message, and else stored piece by piece.
    ///
    /// Of one that is larger than `limit`, or breaks off, nothing is kept; neither is of one whose future is dropped.
    pub async fn keep<E>(
        &self,
        kind: BodyKind,
        call_id: &CallId,
        limit: u64,
        mut source: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<CallBody, NotKept<E>> {
        let mut gathered = Gathered { left: limit, ..Gathered::default() };
        if gathered.fill(&mut source, self.largest_in_message()).await? {
            return Ok(gathered.whole().into());
        }
        let mut upload = Upload::begin(self, BodyKey::generate(kind, call_id.clone()));
        let mut pieces = BytesMut::from(gathered.whole());
        let length = PIECE.min(self.largest_in_message());
        loop {
            // The next piece gathers while one is stored.
            let piece = pieces.split_to(length.min(pieces.len())).freeze();
            let (stored, ended) = tokio::join!(upload.store(piece), async {
                if pieces.len() >= length {
                    return Ok(false);
                }
                let ended = gathered.fill(&mut source, length).await?;
                pieces.extend_from_slice(&gathered.whole());
                Ok(ended)
            });
            stored.map_err(NotKept::Bus)?;
            if ended? && pieces.is_empty() {
                return Ok(upload.end().into());
            }
        }
    }

    /// Lets the pieces of a body go that nobody needs any more; what is missed here is found later.
    pub fn discard(&self, key: &BodyKey) {
        self.nats.discards.discard(key.clone());
    }

    async fn check_room(&self) -> Result<()> {
        let stored = self.nats.streams.requests.get_info().await.map_err(Error::unavailable)?.state.bytes;
        if stored < self.nats.kept.bodies {
            return Ok(());
        }
        let reason =
            format!("{stored} bytes of large bodies are kept, and --body-bytes permits {}", self.nats.kept.bodies);
        Err(Error::Full(reason.into()))
    }
}

/// What has come of a body and is not stored.
#[derive(Default)]
struct Gathered {
    frames: Vec<Bytes>,
    length: usize,
    /// How much more of the body may come.
    left: u64,
}

impl Gathered {
    /// Gathers more than `most`, or all that there is; returns whether the body has ended.
    async fn fill<E>(
        &mut self,
        source: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
        most: usize,
    ) -> Result<bool, NotKept<E>> {
        while self.length <= most {
            let Some(frame) = source.next().await else { return Ok(true) };
            let frame = frame.map_err(NotKept::Broken)?;
            self.left = self.left.checked_sub(frame.len() as u64).ok_or(NotKept::TooLarge)?;
            self.length += frame.len();
            self.frames.push(frame);
        }
        Ok(false)
    }

    /// Hands out what has gathered; without a copy if it came in one frame.
    fn whole(&mut self) -> Bytes {
        self.length = 0;
        let mut frames = std::mem::take(&mut self.frames);
        match frames.len() {
            1 => frames.remove(0),
            _ => frames.concat().into(),
        }
    }
}

/// A body that is being stored. One that is not completed is discarded.
struct Upload<'bodies> {
    bodies: &'bodies Bodies,
    key: BodyKey,
    pieces: u64,
    length: u64,
    last_sequence: u64,
    has_ended: bool,
}

impl<'bodies> Upload<'bodies> {
    fn begin(bodies: &'bodies Bodies, key: BodyKey) -> Self {
        Self { bodies, key, pieces: 0, length: 0, last_sequence: 0, has_ended: false }
    }

    async fn store(&mut self, piece: Bytes) -> Result<()> {
        if self.key.kind == BodyKind::Request && self.pieces.is_multiple_of(CHUNKS_PER_CHECK) {
            self.bodies.check_room().await?;
        }
        self.length += piece.len() as u64;
        let mut headers = HeaderMap::new();
        headers.insert(PIECE_NUMBER, self.pieces.to_string());
        // A piece that was stored without our hearing of it is not stored again.
        headers.insert(NATS_MESSAGE_ID, format!("{} {}", self.key.id.simple(), self.pieces));
        let message = Message { subject: self.bodies.nats.subjects.body(&self.key), headers, body: piece };
        let give_up = Instant::now() + WRITE_TIMEOUT;
        let sequence = loop {
            match self.bodies.nats.publisher.publish(message.clone()).await {
                Ok(stored) => break stored.unwrap_or_default(),
                Err(error @ Error::Unavailable(_))
                    if Instant::now() < give_up && self.bodies.nats.is_reachable().await =>
                {
                    debug!(error = error.chain(), key = %self.key, "a chunk of a body cannot be stored; trying again");
                }
                Err(error) => return Err(error),
            }
            sleep(RETRY_DELAY).await;
        };
        if sequence <= self.last_sequence {
            return Err(Error::unavailable("the stream of large bodies was made anew, and what came before is lost"));
        }
        self.last_sequence = sequence;
        self.pieces += 1;
        Ok(())
    }

    fn end(mut self) -> StoredBody {
        self.has_ended = true;
        StoredBody { key: self.key.clone(), length: self.length }
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.bodies.discard(&self.key);
        }
    }
}

fn most_in_message(largest: usize) -> usize {
    largest - HEADER_RESERVE.min(largest / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn a_message_has_room_for_headers() {
        assert_eq!([8 * MIB, 16 * MIB, MIB].map(most_in_message), [7 * MIB, 15 * MIB, MIB / 8 * 7]);
    }

    #[tokio::test]
    async fn a_body_is_gathered_up_to_what_a_message_holds() {
        let frames = |frames: &[&'static [u8]]| {
            let frames: Vec<_> = frames.iter().map(|frame| Ok::<_, ()>(Bytes::from_static(frame))).collect();
            futures_util::stream::iter(frames)
        };
        let mut gathered = Gathered { left: 8, ..Gathered::default() };
        assert!(gathered.fill(&mut frames(&[b"12", b"34"]), 4).await.unwrap());
        assert_eq!(gathered.whole(), "1234");
        let mut more = frames(&[b"5", b"678", b"9"]);
        assert!(!gathered.fill(&mut more, 3).await.unwrap(), "there is more than fits");
        assert_eq!(gathered.whole(), "5678");
        assert!(matches!(gathered.fill(&mut more, 3).await, Err(NotKept::TooLarge)));
    }
}
