//! Images of functions: blobs in pieces, which blobs are complete, and manifests.
//!
//! Everything is named by its SHA-256, so what is there need not be sent again, and an upload that broke off goes on where it ended.
//! A blob counts once all of it was read back and has its hash; a manifest is only kept when all of its blobs count.
//! The controller sweeps what no function needs ([`sweep`]).

mod sweep;

use std::time::Duration;

use async_nats::{
    HeaderMap,
    header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
    jetstream::{message::StreamMessage, stream::DirectGetErrorKind},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use skep_protocol::{BlobState, Digest, ImageManifest};
use tokio::time::{Instant, sleep, timeout};

pub use self::sweep::Swept;
use crate::{Error, Images, Result, calls::records, client::connect::REQUEST_TIMEOUT, publish::Message};

/// How many pieces are read ahead.
const AHEAD: usize = 4;
/// How long a server that does not have a piece is asked again, because in a cluster it may be behind.
const READ_TIMEOUT: Duration = Duration::from_secs(20);
const RETRY_DELAY: Duration = Duration::from_millis(200);
/// How often a note is written again that somebody else has written at the same time.
const MAX_TRIES: usize = 8;

/// That a blob is complete.
#[derive(Serialize, Deserialize)]
struct Complete {
    size: u64,
}

impl Images {
    /// The bytes that all images take.
    pub async fn bytes(&self) -> Result<u64> {
        Ok(self.nats.streams.images.get_info().await.map_err(Error::unavailable)?.state.bytes)
    }

    /// How long a blob is, if it is complete.
    pub async fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(self.complete(digest).await?.map(|(complete, _)| complete.size))
    }

    /// Which pieces of a blob are there.
    pub async fn state(&self, digest: &Digest) -> Result<BlobState> {
        if self.size(digest).await?.is_some() {
            return Ok(BlobState { complete: true, pieces: Vec::new() });
        }
        let listed = self.listed(self.nats.subjects.image_pieces_of(digest)).await?;
        let mut pieces: Vec<u64> = listed.into_iter().map(|(_, number)| number).collect();
        pieces.sort_unstable();
        Ok(BlobState { complete: false, pieces })
    }

    /// Stores a piece of a blob, counted from 0. Pieces of a complete blob stay as they are.
    pub async fn store_piece(&self, digest: &Digest, number: u64, body: Bytes) -> Result<()> {
        if self.size(digest).await?.is_some() {
            return Ok(());
        }
        let subject = self.nats.subjects.image_piece(digest, number);
        self.nats.publisher.publish(Message { subject, headers: HeaderMap::new(), body }).await.map(|_| ())
    }

    /// Reads a blob back that has been stored, and notes that it is complete if it has its hash; `false` if not.
    pub async fn finish(&self, digest: &Digest, size: u64) -> Result<bool> {
        let mut hash = Context::new(&SHA256);
        let mut body = std::pin::pin!(self.read(digest, size, 0, size));
        loop {
            match body.try_next().await {
                Ok(Some(bytes)) => hash.update(&bytes),
                Ok(None) => break,
                Err(Error::Unreadable { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if Digest::of_hash(hash.finish().as_ref()).ok().as_ref() != Some(digest) {
            return Ok(false);
        }
        let body = serde_json::to_vec(&Complete { size }).unwrap_or_default().into();
        let subject = self.nats.subjects.image_blob(digest);
        self.nats.publisher.publish(Message { subject, headers: HeaderMap::new(), body }).await?;
        Ok(true)
    }

    /// Some bytes of a blob; nobody checks its hash here.
    pub fn read(
        &self,
        digest: &Digest,
        size: u64,
        from: u64,
        length: u64,
    ) -> impl Stream<Item = Result<Bytes>> + use<> {
        let end = from.saturating_add(length).min(size);
        let numbers = from / BlobState::PIECE..end.div_ceil(BlobState::PIECE);
        let (images, digest) = (self.clone(), digest.clone());
        stream::iter(numbers)
            .map(move |number| {
                let (images, digest) = (images.clone(), digest.clone());
                async move {
                    let begin = number * BlobState::PIECE;
                    let piece = images.piece(&digest, number).await?;
                    let wanted = BlobState::PIECE.min(size - begin);
                    if piece.len() as u64 != wanted {
                        return Err(images.unreadable(&digest, number, "has another length"));
                    }
                    // A piece is shorter than what `usize` holds.
                    let within = |at: u64| usize::try_from(at.saturating_sub(begin).min(wanted)).unwrap_or_default();
                    Ok(piece.slice(within(from)..within(end)))
                }
            })
            .buffered(AHEAD)
    }

    async fn piece(&self, digest: &Digest, number: u64) -> Result<Bytes> {
        let give_up = Instant::now() + READ_TIMEOUT;
        loop {
            let subject = self.nats.subjects.image_piece(digest, number);
            let error = match self.nats.streams.images.direct_get_last_for_subject(subject).await {
                Ok(message) => return Ok(message.payload),
                Err(error) => error,
            };
            let is_gone = error.kind() == DirectGetErrorKind::NotFound;
            if Instant::now() >= give_up || is_gone && self.nats.kept.replicas < 2 {
                return Err(if is_gone {
                    self.unreadable(digest, number, "is not there")
                } else {
                    Error::unavailable(error)
                });
            }
            sleep(RETRY_DELAY).await;
        }
    }

    fn unreadable(&self, digest: &Digest, number: u64, reason: &str) -> Error {
        let subject = self.nats.subjects.image_piece(digest, number);
        Error::Unreadable { subject, reason: format!("the piece of an image {reason}") }
    }

    /// Keeps the manifest of an image; if blobs of it are not there, nothing is kept, and they are returned.
    pub async fn keep_manifest(&self, digest: &Digest, manifest: &ImageManifest, body: Bytes) -> Result<Vec<Digest>> {
        let mut missing = Vec::new();
        for blob in manifest.blobs() {
            if !self.use_again(&blob.digest, blob.size).await? {
                missing.push(blob.digest.clone());
            }
        }
        if missing.is_empty() {
            let subject = self.nats.subjects.image_manifest(digest);
            self.nats.publisher.publish(Message { subject, headers: HeaderMap::new(), body }).await?;
        }
        Ok(missing)
    }

    /// Writes the note of a complete blob once more, so that it is as good as new to a sweep; `false` if there is none.
    async fn use_again(&self, digest: &Digest, size: u64) -> Result<bool> {
        for _ in 0..MAX_TRIES {
            let Some((complete, note)) = self.complete(digest).await? else { return Ok(false) };
            if complete.size != size {
                return Ok(false);
            }
            let mut headers = HeaderMap::new();
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, note.sequence.to_string());
            let message = Message { subject: self.nats.subjects.image_blob(digest), headers, body: note.payload };
            // A sweep has removed it meanwhile, or another upload uses it, too.
            if self.nats.publisher.publish(message).await?.is_some() {
                return Ok(true);
            }
        }
        Err(Error::unavailable("others write the same at the same time, again and again"))
    }

    /// The manifest of an image, as it came.
    pub async fn manifest(&self, digest: &Digest) -> Result<Option<Bytes>> {
        let found = self.note(self.nats.subjects.image_manifest(digest)).await?;
        Ok(found.map(|found| found.payload))
    }

    async fn complete(&self, digest: &Digest) -> Result<Option<(Complete, StreamMessage)>> {
        let Some(note) = self.note(self.nats.subjects.image_blob(digest)).await? else { return Ok(None) };
        match serde_json::from_slice(&note.payload) {
            Ok(complete) => Ok(Some((complete, note))),
            Err(error) => Err(Error::Unreadable { subject: note.subject.to_string(), reason: error.to_string() }),
        }
    }

    async fn note(&self, subject: String) -> Result<Option<StreamMessage>> {
        records::find_at_leader(&self.nats.streams.images, subject).await
    }

    /// The blobs and pieces that have a subject which fits, in no order.
    async fn listed(&self, subjects: String) -> Result<Vec<(Digest, u64)>> {
        let listed = self.nats.streams.images.info_with_subjects(subjects).await.map_err(Error::unavailable)?;
        let listed = listed.map_ok(|(subject, _)| subject).try_collect::<Vec<_>>();
        let listed = timeout(REQUEST_TIMEOUT, listed).await.map_err(Error::unavailable)?.map_err(Error::unavailable)?;
        Ok(listed.iter().filter_map(|subject| self.nats.subjects.image_of_subject(subject)).collect())
    }
}
