//! The way of a request to a source, step by step.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header, request::Parts};
use skep_http::Peer;
use skep_sources::Unverified;
use skep_trace::Kind;
use tokio::time::Instant;

use super::{
    accept, held,
    hook::{Hook, Judged},
    learn,
    metrics::Outcome,
    request::{Arrived, split},
};
use crate::{
    Error, Result,
    app::App,
    body,
    body::BodyLimit,
    pages::NOSNIFF,
    spans::{self, Scope},
};

/// A sender that sends nothing of its body for this long is given up.
const MAX_BODY_IDLE: Duration = Duration::from_secs(30);
/// Kept free in a message for what stands beside the body.
const ROOM_FOR_HEADERS: u64 = 64 * 1024;
/// A larger body is checked on a thread of its own.
const MAX_CHECKED_HERE: usize = 256 * 1024;

const TEMPLATE: &str = "/hooks/{source}";
const LIMIT: &str = "the max_body of this source";

pub(super) async fn receive(app: &Arc<App>, peer: &Peer, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let (name, _) = split(&parts.uri);
    let hook = Some(app.hooks.source(name)?).filter(|hook| hook.takes_requests()).ok_or(Error::UnknownSource)?;
    taken(app, &hook, peer, parts, body).await.map(|(_, response)| response)
}

/// Takes a request to a source, and counts it.
pub(super) async fn taken(
    app: &Arc<App>,
    hook: &Arc<Hook>,
    peer: &Peer,
    mut parts: Parts,
    body: Body,
) -> Result<Taken> {
    let started = Instant::now();
    let scope = enter(app, hook, peer, &mut parts);
    let taken = take(app, hook, peer, parts, body, &scope).await;
    let metrics = &app.hooks.metrics;
    let outcome = taken.as_ref().map_or_else(outcome_of, |(outcome, _)| *outcome);
    if let Some(outcome) = outcome {
        metrics.count(hook.name(), outcome);
    }
    match &taken {
        Ok((_, response)) => scope.answered(response.status(), response.headers()),
        Err(error) => scope.answered(error.status().0, &error.headers()),
    }
    if let Some((span, outcome)) = scope.span().zip(outcome) {
        span.describe(move |description| description.attributes.push(("skep.verdict", outcome.as_str().into())));
    }
    metrics.time(hook.name(), started);
    taken
}

/// Begins the span of a request. Its sender is a stranger in most cases, so that its trace is linked to.
fn enter(app: &App, hook: &Hook, peer: &Peer, parts: &mut Parts) -> Scope {
    let sender = app.trusted_proxies.sender(peer, &parts.headers);
    let incoming = app.tracer.incoming(&mut parts.headers, sender);
    let scope = Scope::enter(&app.tracer, Kind::Server, Some(incoming));
    if let Some(span) = scope.span() {
        let host = parts.headers.get(header::HOST).cloned();
        spans::describe_request(span, TEMPLATE, parts, peer, (host, None));
        let source = hook.name().clone();
        span.describe(move |description| description.attributes.push(("skep.source", source.to_string().into())));
    }
    scope
}

/// How a request that was refused is counted.
fn outcome_of(error: &Error) -> Option<Outcome> {
    match error {
        Error::UnknownSource | Error::SourceGone => None,
        Error::AddressNotAllowed => Some(Outcome::Address),
        Error::TooManyRefused(_) | Error::TooManyUnverified | Error::TooManyEvents { .. } => Some(Outcome::Limited),
        Error::BodyTooLarge { .. } => Some(Outcome::TooLarge),
        Error::Bus(skep_bus::Error::TooLarge { .. } | skep_bus::Error::HeadersTooLarge(_)) => Some(Outcome::TooLarge),
        Error::UnverifiedEvent => Some(Outcome::Unverified),
        _ => Some(Outcome::Failed),
    }
}

/// What became of a request, if it is to be counted here, and its answer.
pub(super) type Taken = (Option<Outcome>, Response);

async fn take(app: &Arc<App>, hook: &Arc<Hook>, peer: &Peer, parts: Parts, body: Body, scope: &Scope) -> Result<Taken> {
    let receiver = hook.receiver()?;
    let source = receiver.source();
    if source.disabled {
        return Err(if source.gone { Error::SourceGone } else { Error::UnknownSource });
    }
    let sender = app.trusted_proxies.sender(peer, &parts.headers);
    if !receiver.allows_address(sender) {
        return Err(Error::AddressNotAllowed);
    }
    // A proxy of this machine that names no sender is not to be refused for one of them.
    let caller = app.trusted_proxies.caller(peer, &parts.headers);
    if let Some(pause) = caller.and_then(|address| app.hooks.refusals.pause(address)) {
        return Err(Error::TooManyRefused(pause));
    }
    let room = (app.bus.connection.largest_message() as u64).saturating_sub(ROOM_FOR_HEADERS);
    let limit = BodyLimit { bytes: receiver.max_body().min(room), origin: LIMIT };
    let (idle, mut place) = (app.body_idle_timeout.min(MAX_BODY_IDLE), app.hooks.room.place());
    let body = body::gathered(&parts.headers, body, limit, idle, |data| place.grow(data.len())).await?;
    let arrived = Arc::new(Arrived::new(parts, body, Some(sender), scope.context().cloned()));
    match judge(app, hook, &arrived).await? {
        Judged::Challenge(answer) => {
            learn::learn(app, hook, &answer).await?;
            Ok((Some(Outcome::Challenge), challenged(answer)))
        }
        Judged::WrongMethod => Err(Error::MethodNotAllowed),
        Judged::Verified(verdict) => {
            drop(place);
            hook.admit()?;
            verdict.key().into_iter().for_each(|key| app.hooks.metrics.note_use(hook.name(), key, arrived.received_at));
            let (app, hook, peer) = (Arc::clone(app), Arc::clone(hook), peer.clone());
            Ok((None, accept::accept(&app, &hook, &peer, &arrived, accept::verified(&verdict), scope).await?))
        }
        Judged::Refused(reason) if source.unverified == Unverified::Hold => {
            if !held::hold(app, hook, &arrived, &reason).await? {
                return Err(Error::UnverifiedEvent);
            }
            Ok((Some(Outcome::Held), accept::acknowledged(receiver)))
        }
        Judged::Refused(reason) => {
            caller.into_iter().for_each(|address| app.hooks.refusals.note(address));
            held::keep_copy(app, hook, &arrived, &reason).await;
            Err(Error::UnverifiedEvent)
        }
    }
}

/// Verifies a request, and counts it if it cannot be verified.
async fn judge(app: &App, hook: &Arc<Hook>, arrived: &Arc<Arrived>) -> Result<Judged> {
    let (judging, request) = (Arc::clone(hook), Arc::clone(arrived));
    let judged = apart_if_large(arrived.body.len(), move || judging.judge(&request)).await??;
    if let Judged::Refused(reason) = &judged {
        app.hooks.metrics.count_unverified(hook.name(), reason);
        hook.unverified.note(reason);
    }
    Ok(judged)
}

/// Runs what takes long for a large body where it holds up nobody else.
pub(super) async fn apart_if_large<T: Send + 'static>(
    length: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    if length <= MAX_CHECKED_HERE {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(Error::Ended)
}

/// An echo of what a stranger has sent, never to be taken for a page.
fn challenged(answer: skep_sources::Answer) -> Response {
    let mut response: Response = (answer.status, Body::from(answer.body)).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    headers.extend(answer.headers);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    if response.status() == StatusCode::NO_CONTENT {
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    response
}
