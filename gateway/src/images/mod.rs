//! `/system/images`: takes images of functions, part by part. Engines pull them elsewhere ([`pull`]).

mod error;
mod pull;

use std::sync::Arc;

use axum::{
    Json as AnswerJson,
    extract::{Path, State},
    routing::{get, put},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use skep_protocol::{BlobState, Digest, ImageManifest, ImageStore};

pub(crate) use self::{error::ImagesError, pull::router as pulls};
use crate::{
    Error, Result, Routes,
    app::App,
    body::BodyLimit,
    config::ImagesConfig,
    input::{Queried, Segment},
};

const PIECE_LIMIT: BodyLimit = BodyLimit { bytes: BlobState::PIECE, origin: "the length of a piece of an image" };
const MANIFEST_LIMIT: BodyLimit =
    BodyLimit { bytes: ImageManifest::MAX_LENGTH as u64, origin: "the limit of a manifest" };
const PARTS: &str = "/system/images/blobs/";

pub(crate) fn routes() -> Routes {
    vec![
        ("/system/images", get(store)),
        ("/system/images/blobs/{digest}", get(state).post(finish)),
        ("/system/images/blobs/{digest}/{number}", put(store_piece)),
        ("/system/images/manifests/{digest}", put(keep)),
    ]
}

/// Whether a route is for parts of images.
pub(crate) fn is_of_a_part(route: &str) -> bool {
    route.starts_with(PARTS)
}

async fn store(State(app): State<Arc<App>>) -> Result<AnswerJson<ImageStore>> {
    let ImagesConfig { address, limit, .. } = app.images()?.clone();
    let bytes = app.require_bus().await?.images.bytes().await?;
    Ok(AnswerJson(ImageStore { address, bytes, limit }))
}

async fn state(State(app): State<Arc<App>>, Segment(named): Segment) -> Result<AnswerJson<BlobState>> {
    app.images()?;
    Ok(AnswerJson(app.require_bus().await?.images.state(&read(&named)?).await?))
}

async fn store_piece(
    State(app): State<Arc<App>>,
    Path((named, number)): Path<(String, String)>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<StatusCode> {
    let limit = app.images()?.limit;
    let (digest, number) = (read(&named)?, number.parse().map_err(|_| Error::InvalidPath)?);
    let piece = app.gathered(&headers, body, PIECE_LIMIT).await?;
    let images = &app.require_bus().await?.images;
    // Pieces that come at the same time may go a little beyond the limit.
    let bytes = images.bytes().await?;
    if bytes + piece.len() as u64 > limit {
        return Err(ImagesError::Full { bytes, limit }.into());
    }
    images.store_piece(&digest, number, piece).await?;
    Ok(StatusCode::CREATED)
}

/// How long a blob is of which all pieces are there.
#[derive(Deserialize)]
struct Whole {
    size: u64,
}

async fn finish(
    State(app): State<Arc<App>>,
    Segment(named): Segment,
    Queried(Whole { size }): Queried<Whole>,
) -> Result<StatusCode> {
    app.images()?;
    let digest = read(&named)?;
    let images = &app.require_bus().await?.images;
    if images.size(&digest).await? == Some(size) || images.finish(&digest, size).await? {
        return Ok(StatusCode::CREATED);
    }
    Err(ImagesError::WrongDigest(digest).into())
}

async fn keep(
    State(app): State<Arc<App>>,
    Segment(named): Segment,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<StatusCode> {
    app.images()?;
    let digest = read(&named)?;
    let body = app.gathered(&headers, body, MANIFEST_LIMIT).await?;
    if hash(&body).as_ref() != Some(&digest) {
        return Err(ImagesError::WrongDigest(digest).into());
    }
    let manifest = read_manifest(&body)?;
    let missing = app.require_bus().await?.images.keep_manifest(&digest, &manifest, body).await?;
    if missing.is_empty() {
        return Ok(StatusCode::CREATED);
    }
    let missing: Vec<&str> = missing.iter().map(Digest::as_str).collect();
    Err(ImagesError::Incomplete(missing.join(", ")).into())
}

fn read_manifest(body: &[u8]) -> Result<ImageManifest> {
    let manifest: ImageManifest =
        serde_json::from_slice(body).map_err(|error| Error::InvalidRequest(format!("this is no manifest: {error}")))?;
    if manifest.media_type != ImageManifest::MEDIA_TYPE {
        let reason = format!("a manifest must have the media type {}", ImageManifest::MEDIA_TYPE);
        return Err(Error::InvalidRequest(reason));
    }
    Ok(manifest)
}

fn read(named: &str) -> Result<Digest> {
    named.parse().map_err(|error: skep_protocol::InvalidDigest| Error::InvalidRequest(error.to_string()))
}

fn hash(body: &Bytes) -> Option<Digest> {
    Digest::of_hash(digest(&SHA256, body).as_ref()).ok()
}

impl App {
    /// How images are kept.
    pub(crate) fn images(&self) -> Result<&ImagesConfig> {
        self.images.as_ref().ok_or_else(|| ImagesError::Off.into())
    }
}
