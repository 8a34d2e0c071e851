//! Removes the images that no function needs.
//!
//! A blob is removed by the number of the note that it is complete. An upload that uses the blob writes that note anew, so either the removal fails, or the upload sees that the blob is not there.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use async_nats::jetstream::{message::StreamMessage, stream::DeleteMessageErrorKind};
use skep_protocol::{Digest, ImageManifest};
use tokio::time::timeout;

use crate::{Error, Images, Result, client::clock, client::connect::REQUEST_TIMEOUT};

/// What a sweep has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub manifests: u64,
    pub blobs: u64,
}

impl Images {
    /// Removes the manifests that are not needed, the blobs that no other manifest names, and uploads that broke off, if they are older than this.
    pub async fn sweep(&self, needed: &HashSet<Digest>, age: Duration) -> Result<Swept> {
        let subjects = &self.nats.subjects;
        // Before the manifests: a blob that comes meanwhile is not looked at.
        let blobs = self.listed(subjects.image_blobs()).await?;
        let pieces = self.listed(subjects.image_pieces()).await?;
        let mut swept = Swept::default();
        let mut used = HashSet::new();
        for (digest, _) in self.listed(subjects.image_manifests()).await? {
            let Some(manifest) = self.note(subjects.image_manifest(&digest)).await? else { continue };
            if !needed.contains(&digest) && is_older(&manifest, age) && self.remove_note(&manifest).await? {
                swept.manifests += 1;
                continue;
            }
            if let Ok(manifest) = serde_json::from_slice::<ImageManifest>(&manifest.payload) {
                used.extend(manifest.blobs().map(|blob| blob.digest.clone()));
            }
        }
        for (digest, _) in &blobs {
            if !used.contains(digest) && self.remove_blob(digest, age).await? {
                swept.blobs += 1;
            }
        }
        let complete: BTreeSet<&Digest> = blobs.iter().map(|(digest, _)| digest).collect();
        let mut last_pieces = HashMap::new();
        for (digest, number) in pieces.iter().filter(|(digest, _)| !complete.contains(digest)) {
            let last = last_pieces.entry(digest).or_insert(*number);
            *last = (*last).max(*number);
        }
        for (digest, last) in last_pieces {
            swept.blobs += u64::from(self.remove_upload(digest, last, age).await?);
        }
        Ok(swept)
    }

    async fn remove_blob(&self, digest: &Digest, age: Duration) -> Result<bool> {
        let Some(note) = self.note(self.nats.subjects.image_blob(digest)).await? else { return Ok(false) };
        if !is_older(&note, age) || !self.remove_note(&note).await? {
            return Ok(false);
        }
        // What a new upload of the same has stored since stays.
        self.purge_pieces(digest, note.sequence).await?;
        Ok(true)
    }

    /// Removes what is there of a blob that is not complete, unless it still grows.
    async fn remove_upload(&self, digest: &Digest, last: u64, age: Duration) -> Result<bool> {
        let Some(piece) = self.note(self.nats.subjects.image_piece(digest, last)).await? else { return Ok(false) };
        if !is_older(&piece, age) || self.size(digest).await?.is_some() {
            return Ok(false);
        }
        self.purge_pieces(digest, piece.sequence.saturating_add(1)).await?;
        Ok(true)
    }

    /// `false` if it has been written anew.
    async fn remove_note(&self, note: &StreamMessage) -> Result<bool> {
        match self.nats.streams.images.delete_message(note.sequence).await {
            Ok(removed) => Ok(removed),
            Err(error) if matches!(error.kind(), DeleteMessageErrorKind::JetStream(_)) => Ok(false),
            Err(error) => Err(Error::unavailable(error)),
        }
    }

    async fn purge_pieces(&self, digest: &Digest, before: u64) -> Result<()> {
        let pieces = self.nats.subjects.image_pieces_of(digest);
        let purge = self.nats.streams.images.purge().filter(pieces).sequence(before);
        timeout(REQUEST_TIMEOUT, purge.into_future()).await.map_err(Error::unavailable)?.map_err(Error::unavailable)?;
        Ok(())
    }
}

fn is_older(message: &StreamMessage, age: Duration) -> bool {
    message.time + age < clock::now()
}
