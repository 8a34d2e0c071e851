//! What engines pull images with: the pull half of OCI's distribution specification, on a listener of its own.
//!
//! Engines log in with a password that only the controller gives them, with the service that needs the image. Nothing can be changed here, and nothing is listed.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, StatusCode, header};
use skep_protocol::{Digest, ImageManifest};
use subtle::ConstantTimeEq;

use super::ImagesError;
use crate::{Error, Result, app::App, fast_path_router::FastPathRouter};

const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const API_VERSION: (HeaderName, &str) = (HeaderName::from_static("docker-distribution-api-version"), "registry/2.0");

/// The routes, all of which ask for the login of engines.
pub(crate) fn router(app: &Arc<App>) -> FastPathRouter {
    let routes = Router::new()
        .route("/v2/", get(async || [API_VERSION]))
        .route("/v2/{name}/manifests/{digest}", get(manifest))
        .route("/v2/{name}/blobs/{digest}", get(blob))
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .fallback(async || Error::RouteNotFound);
    let guarded = routes.layer(middleware::from_fn_with_state(Arc::clone(app), admit)).with_state(Arc::clone(app));
    FastPathRouter::without_functions(guarded, None)
}

async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let expected = match app.images() {
        Ok(images) => format!("Basic {}", STANDARD.encode(&images.login)),
        Err(error) => return error.into_response(),
    };
    let given = request.headers().get(header::AUTHORIZATION).map(|given| given.as_bytes());
    if given.is_some_and(|given| given.ct_eq(expected.as_bytes()).into()) {
        return next.run(request).await;
    }
    Error::Unauthorized.into_response()
}

async fn manifest(State(app): State<Arc<App>>, Path((_, named)): Path<(String, String)>) -> Result<Response> {
    let digest = read(&named)?;
    let found = app.require_bus().await?.images.manifest(&digest).await?;
    let found = found.ok_or(ImagesError::Unknown(named))?;
    let kind = [(header::CONTENT_TYPE, ImageManifest::MEDIA_TYPE)];
    Ok((kind, [(DIGEST, digest.as_str())], Body::from(found)).into_response())
}

async fn blob(
    State(app): State<Arc<App>>,
    Path((_, named)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response> {
    let digest = read(&named)?;
    let images = &app.require_bus().await?.images;
    let size = images.size(&digest).await?.ok_or(ImagesError::Unknown(named))?;
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()).and_then(|range| wanted(range, size));
    let (from, length) = range.unwrap_or((0, size));
    let body = Body::from_stream(images.read(&digest, size, from, length));
    let mut answer = Response::new(body);
    if range.is_some() {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    let said = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (DIGEST, digest.to_string()),
    ];
    let of_range = range.map(|_| (header::CONTENT_RANGE, format!("bytes {from}-{}/{size}", from + length - 1)));
    for (name, value) in said.into_iter().chain(of_range) {
        answer.headers_mut().insert(name, value.parse().map_err(|_| Error::InvalidPath)?);
    }
    Ok(answer)
}

/// Only digests name something here; tags are not kept.
fn read(named: &str) -> Result<Digest> {
    named.parse().map_err(|_| ImagesError::Unknown(named.chars().take(100).collect()).into())
}

/// Where a range begins, and how long it is. One that cannot be read, or is more than one, is all of it, as HTTP allows.
fn wanted(range: &str, size: u64) -> Option<(u64, u64)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let last = size.checked_sub(1)?;
    let (from, to) = match (from, to) {
        ("", length) => (size.saturating_sub(length.parse().ok()?), last),
        (from, "") => (from.parse().ok()?, last),
        (from, to) => (from.parse().ok()?, to.parse::<u64>().ok()?.min(last)),
    };
    (from <= to).then(|| (from, to - from + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_a_part_of_the_blob() {
        for (range, expected) in [
            ("bytes=0-", Some((0, 10))),
            ("bytes=4-", Some((4, 6))),
            ("bytes=4-5", Some((4, 2))),
            ("bytes=4-50", Some((4, 6))),
            ("bytes=-3", Some((7, 3))),
            ("bytes=10-", None),
            ("bytes=5-4", None),
            ("bytes=0-1,3-4", None),
            ("lines=0-", None),
        ] {
            assert_eq!(wanted(range, 10), expected, "{range}");
        }
        assert_eq!(wanted("bytes=0-", 0), None);
    }
}
