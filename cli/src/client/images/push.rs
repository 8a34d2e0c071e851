//! Sends the parts of an image that the gateway does not have, and then its manifest.

use std::{fs::File, os::unix::fs::FileExt, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::{Method, RequestBuilder, StatusCode};
use skep_protocol::BlobState;
use tokio::time::sleep;

use super::{Image, Part, Source};
use crate::{
    client::api::Api,
    failure::{Failure, Result},
    output,
};

/// Pieces that are under way at once.
const AT_ONCE: usize = 4;
/// How often a piece is sent before the command gives up; what has arrived is there the next time.
const MAX_TRIES: u32 = 4;
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// A part that is there may be removed before the manifest names it; then all is looked at again.
const MAX_ROUNDS: usize = 3;

pub(super) async fn push(api: &Api, image: &Image) -> Result<()> {
    for _ in 0..MAX_ROUNDS {
        let mut sent = Sent::default();
        for part in &image.blobs {
            sent.add(send(api, part).await?);
        }
        let manifest = ["images", "manifests", image.digest.as_str()];
        let request = api.request(Method::PUT, &manifest).body(image.manifest.clone());
        if api.send_unless(request, StatusCode::CONFLICT).await?.is_some() {
            if !api.as_json {
                sent.print(image);
            }
            return Ok(());
        }
    }
    Err(Failure::internal(anyhow::anyhow!("parts of the image of {} are removed as they come", image.function)))
}

/// What was not there before.
#[derive(Default)]
struct Sent {
    parts: usize,
    bytes: u64,
}

impl Sent {
    fn add(&mut self, bytes: u64) {
        self.parts += usize::from(bytes > 0);
        self.bytes += bytes;
    }

    fn print(&self, image: &Image) {
        let (function, all) = (&image.function, image.blobs.len());
        let said = match self.bytes {
            0 => format!("the image of {function} is there already"),
            bytes => format!("the image of {function} is sent: {bytes} bytes, {} of {all} parts", self.parts),
        };
        output::line(said);
    }
}

/// Sends what is missing of a blob; returns how much that was.
async fn send(api: &Api, part: &Part) -> Result<u64> {
    let digest = &part.blob.digest;
    let state: BlobState = api.json(api.get(&["images", "blobs", digest.as_str()])).await?;
    if state.complete {
        return Ok(0);
    }
    let sent = send_pieces(api, part, &state.pieces).await?;
    if finish(api, part).await? {
        return Ok(sent);
    }
    // What was there before was not what it should be.
    let sent = sent + send_pieces(api, part, &[]).await?;
    if finish(api, part).await? {
        return Ok(sent);
    }
    let reason = format!("the gateway does not get what this machine sends: its digest is not {digest}");
    Err(Failure::internal(anyhow::anyhow!(reason)))
}

async fn send_pieces(api: &Api, part: &Part, there: &[u64]) -> Result<u64> {
    let numbers = (0..part.blob.size.div_ceil(BlobState::PIECE)).filter(|number| !there.contains(number));
    let sent = stream::iter(numbers).map(|number| send_piece(api, part, number)).buffer_unordered(AT_ONCE);
    sent.try_fold(0_u64, async |all, bytes| Ok(all + bytes)).await
}

async fn send_piece(api: &Api, part: &Part, number: u64) -> Result<u64> {
    let piece = part.piece(number).await.map_err(Failure::internal)?;
    let length = piece.len() as u64;
    let (digest, number) = (part.blob.digest.as_str(), number.to_string());
    let path = ["images", "blobs", digest, &number];
    with_patience(api, || api.request(Method::PUT, &path).body(piece.clone())).await?;
    Ok(length)
}

/// Sends a request again if nobody answers, or NATS does not.
async fn with_patience(api: &Api, request: impl Fn() -> RequestBuilder) -> Result<()> {
    for attempt in 1.. {
        let failure = match request().send().await {
            Ok(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE => api.refusal(response).await,
            Ok(response) if response.status().is_success() => return Ok(()),
            Ok(response) => return Err(api.refusal(response).await),
            Err(error) => api.unreachable(&error),
        };
        if attempt >= MAX_TRIES {
            return Err(failure);
        }
        sleep(RETRY_DELAY * attempt).await;
    }
    Ok(())
}

/// Has the gateway check a blob; `false` if it is not what its digest says.
async fn finish(api: &Api, part: &Part) -> Result<bool> {
    let path = ["images", "blobs", part.blob.digest.as_str()];
    let request = api.request(Method::POST, &path).query(&[("size", part.blob.size)]);
    Ok(api.send_unless(request, StatusCode::UNPROCESSABLE_ENTITY).await?.is_some())
}

impl Part {
    async fn piece(&self, number: u64) -> anyhow::Result<Vec<u8>> {
        let begin = number * BlobState::PIECE;
        let length = usize::try_from(BlobState::PIECE.min(self.blob.size.saturating_sub(begin)))?;
        match &self.source {
            Source::Memory(bytes) => {
                let begin = usize::try_from(begin)?;
                Ok(bytes.get(begin..begin + length).unwrap_or_default().to_vec())
            }
            Source::File { path, offset } => {
                let (path, begin) = (path.clone(), offset + begin);
                let read = tokio::task::spawn_blocking(move || {
                    let mut piece = vec![0; length];
                    File::open(path)?.read_exact_at(&mut piece, begin).map(|()| piece)
                });
                Ok(read.await??)
            }
        }
    }
}
