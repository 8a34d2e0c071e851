//! What could not be verified: a copy of it, or the request itself until it can be.

use std::time::Duration;

use bytes::Bytes;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use sha2::{Digest, Sha256};
use skep_bus::{HeldKind, HeldRequest};
use skep_sources::Reason;
use tokio::time::timeout;
use tracing::debug;

use super::{hook::Hook, request::Arrived};
use crate::{Result, app::App};

/// So much of a body is kept with the copy of a request that was refused.
const MAX_KEPT: usize = 256 * 1024;
/// Strangers make no more copies than this in a second.
const MAX_COPIES_PER_SECOND: std::num::NonZeroU32 = std::num::NonZeroU32::MIN.saturating_add(19);
/// A sender that is refused does not wait longer for its copy.
const COPY_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) fn limiter() -> DefaultDirectRateLimiter {
    RateLimiter::direct(Quota::per_second(MAX_COPIES_PER_SECOND))
}

/// Keeps a request whole; false if no more of its source are held.
pub(super) async fn hold(app: &App, hook: &Hook, arrived: &Arrived, reason: &Reason) -> Result<bool> {
    let request = held(hook, arrived, reason, arrived.body.clone(), false)?;
    Ok(app.require_bus().await?.events.hold(&request, HeldKind::Held).await?)
}

/// Keeps a copy of a request that is refused, with the reason, which its sender does not learn.
pub(super) async fn keep_copy(app: &App, hook: &Hook, arrived: &Arrived, reason: &Reason) {
    if app.hooks.copies.check().is_err() || !app.bus.connection.is_connected() {
        return;
    }
    let body = arrived.body.slice(..arrived.body.len().min(MAX_KEPT));
    let Ok(request) = held(hook, arrived, reason, body, true) else { return };
    let kept = timeout(COPY_TIMEOUT, app.bus.events.hold(&request, HeldKind::Refused)).await;
    match kept {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => debug!(error = error.chain(), source = %hook.name(), "a refused request is not kept"),
        Err(_) => debug!(source = %hook.name(), "a refused request is not kept, for NATS does not answer"),
    }
}

fn held(hook: &Hook, arrived: &Arrived, reason: &Reason, body: Bytes, is_copy: bool) -> Result<HeldRequest> {
    let (receiver, request) = (hook.receiver()?, arrived.as_request());
    // What is to be checked again needs its token, which is not shown.
    let (headers, query) = match is_copy {
        true => (receiver.stored_headers(&request), receiver.stored_query(&request)),
        false => (arrived.headers.clone(), arrived.query.clone()),
    };
    Ok(HeldRequest {
        source: hook.name().clone(),
        received_at: arrived.received_at,
        reason: reason.to_string(),
        method: arrived.method.clone(),
        path: arrived.path.clone(),
        query,
        remote: arrived.remote,
        headers,
        is_whole: body.len() == arrived.body.len(),
        length: arrived.body.len() as u64,
        sha256: Sha256::digest(&arrived.body).iter().map(|byte| format!("{byte:02x}")).collect(),
        body,
    })
}
