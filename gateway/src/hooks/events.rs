//! `/system/sources/NAME/events`: what a source has accepted, and what became of it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use futures_util::future::join_all;
use http::{HeaderName, HeaderValue, header};
use serde::{Deserialize, Serialize};
use skep_bus::StoredEvent;
use skep_protocol::{EventId, EventInfo, SourceName, headers};

use super::{
    follow, release, replay, samples, send, trial,
    wanted::{self, Outcome, Wanted},
};
use crate::{Error, Result, Routes, app::App, input::Queried, input::Segment, pages};

/// In the place of a value that is not shown.
const HIDDEN: &str = "(hidden)";
const USUALLY_LISTED: usize = 100;
const MAX_LISTED: usize = 1000;

pub(crate) fn api_routes() -> Routes {
    let routes = [
        ("/system/sources/{name}/events", get(list)),
        ("/system/sources/{name}/events/{id}", get(show)),
        ("/system/sources/{name}/events/{id}/body", get(body)),
        ("/system/sources/{name}/replay", post(replay::replay)),
        ("/system/sources/{name}/try", post(trial::try_out)),
        ("/system/sources/{name}/send", post(send::send)),
        ("/system/sources/{name}/samples", get(samples::list)),
        ("/system/sources/{name}/samples/{label}", put(samples::keep).delete(samples::remove)),
        ("/system/sources/{name}/held", get(release::list)),
        ("/system/sources/{name}/release", post(release::release)),
    ];
    routes.into_iter().map(|(path, methods)| (path, methods.layer(map_response(pages::lock)))).collect()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Listed {
    since: Option<String>,
    until: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    outcome: Option<Outcome>,
    route: Option<String>,
    limit: Option<usize>,
    before: Option<u64>,
    /// Whether to stream those that come, behind `after`, or after the `last` ones.
    follow: bool,
    after: Option<u64>,
    last: usize,
}

#[derive(Serialize)]
struct Events {
    events: Vec<EventInfo>,
    /// Ask again with `before` for those before.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// The events of a source, the newest first.
async fn list(
    State(app): State<Arc<App>>,
    Segment(source): Segment,
    Queried(listed): Queried<Listed>,
) -> Result<Response> {
    let Listed { since, until, kind, outcome, route, limit, before, follow, after, last } = listed;
    let (name, wanted) = (name(&source)?, Wanted { since, until, kind, outcome, route });
    let filter = wanted.filter()?;
    if follow {
        if wanted.wants_failed() {
            return Err(Error::InvalidRequest("outcome: failed is known later, so it cannot be followed".to_owned()));
        }
        app.hooks.source(&source)?;
        return follow::follow(&app, name, filter, after, last.min(MAX_LISTED)).await;
    }
    let limit = limit.unwrap_or(USUALLY_LISTED).clamp(1, MAX_LISTED);
    let stored = &app.require_bus().await?.events;
    if !wanted.wants_failed() {
        let page = stored.list(&name, &filter, limit, before).await?;
        if page.events.is_empty() {
            require(&app, &name).await?;
        }
        return Ok(Json(Events { events: page.events, next: page.next }).into_response());
    }
    let (mut events, mut next, mut looked_at) = (Vec::new(), before, 0);
    loop {
        let page = stored.list(&name, &filter, limit.min(USUALLY_LISTED), next).await?;
        looked_at += page.events.len();
        events.extend(wanted::failed_of(&app, page.events).await?);
        next = page.next;
        if next.is_none() && looked_at == 0 {
            require(&app, &name).await?;
        }
        if next.is_none() || events.len() >= limit || looked_at >= MAX_LISTED {
            return Ok(Json(Events { events, next }).into_response());
        }
    }
}

/// One event with its headers, and the states of its calls.
async fn show(State(app): State<Arc<App>>, Path((source, id)): Path<(String, String)>) -> Result<Json<EventInfo>> {
    let StoredEvent { event, sequence, .. } = find(&app, &source, &id).await?;
    let mut info = EventInfo::of(&event, sequence, Some(event.body.len() as u64));
    info.headers = event.headers.iter().map(|(name, value)| (name.to_string(), shown(name, value))).collect();
    info.replays = app.bus.events.replays(&event.source, &event.id, event.received_at).await?;
    let mut calls: Vec<_> =
        info.calls.iter_mut().chain(info.replays.iter_mut().map(|replay| &mut replay.call)).collect();
    let states = join_all(calls.iter().map(|call| app.bus.calls.status(&call.call_id))).await;
    for (call, status) in calls.iter_mut().zip(states) {
        call.state = status?.map(|status| status.state);
    }
    Ok(Json(info))
}

/// The body as it came.
async fn body(State(app): State<Arc<App>>, Path((source, id)): Path<(String, String)>) -> Result<Response> {
    let event = find(&app, &source, &id).await?.event;
    let mut response = event.body.into_response();
    let usual = HeaderValue::from_static("application/octet-stream");
    let kind = event.headers.get(header::CONTENT_TYPE).cloned().unwrap_or(usual);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

fn shown(name: &HeaderName, value: &HeaderValue) -> String {
    if headers::is_secret(name) { HIDDEN.to_owned() } else { String::from_utf8_lossy(value.as_bytes()).into_owned() }
}

/// Fails if there is no such source; one that was removed leaves its events.
pub(super) async fn require(app: &App, source: &SourceName) -> Result<()> {
    let found = app.require_bus().await?.sources.get(source).await?;
    found.map(drop).ok_or(Error::UnknownSource)
}

pub(super) fn name(source: &str) -> Result<SourceName> {
    source.parse().map_err(|_| Error::UnknownSource)
}

pub(super) async fn find(app: &App, source: &str, id: &str) -> Result<StoredEvent> {
    let unknown = || Error::UnknownEvent(id.chars().take(128).collect());
    let event: EventId = id.parse().map_err(|_| unknown())?;
    app.require_bus().await?.events.get(&name(source)?, &event).await?.ok_or_else(unknown)
}
