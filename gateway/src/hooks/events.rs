//! `/system/sources/NAME/events`: what a source has accepted, and what became of it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::future::join_all;
use http::{HeaderName, HeaderValue, header};
use serde::{Deserialize, Serialize};
use skep_bus::{EventFilter, StoredEvent};
use skep_protocol::{EventId, EventInfo, EventOutcome, SourceName, headers, parse_past};

use super::{release, replay, send, trial};
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
        ("/system/sources/{name}/held", get(release::list)),
        ("/system/sources/{name}/release", post(release::release)),
    ];
    routes.into_iter().map(|(path, methods)| (path, methods.layer(map_response(pages::lock)))).collect()
}

/// Which events are meant.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) outcome: Option<EventOutcome>,
    pub(super) route: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Listed {
    since: Option<String>,
    until: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    outcome: Option<EventOutcome>,
    route: Option<String>,
    limit: Option<usize>,
    before: Option<u64>,
}

#[derive(Serialize)]
struct Events {
    events: Vec<EventInfo>,
    /// Ask again with `before` for those before.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

impl Wanted {
    pub(super) fn filter(self) -> Result<EventFilter> {
        let now = skep_bus::now();
        let time = |key: &str, text: Option<String>| {
            let read = |text: String| parse_past(&text, now);
            text.map(read).transpose().map_err(|reason| Error::InvalidRequest(format!("{key}: {reason}")))
        };
        let (since, until) = (time("since", self.since)?, time("until", self.until)?);
        Ok(EventFilter { since, until, kind: self.kind, outcome: self.outcome, route: self.route })
    }
}

/// The events of a source, the newest first.
async fn list(
    State(app): State<Arc<App>>,
    Segment(source): Segment,
    Queried(listed): Queried<Listed>,
) -> Result<Response> {
    let Listed { since, until, kind, outcome, route, limit, before } = listed;
    let filter = Wanted { since, until, kind, outcome, route }.filter()?;
    let limit = limit.unwrap_or(USUALLY_LISTED).clamp(1, MAX_LISTED);
    let page = app.require_bus().await?.events.list(&name(&source)?, &filter, limit, before).await?;
    Ok(Json(Events { events: page.events, next: page.next }).into_response())
}

/// One event with its headers, and the states of its calls.
async fn show(State(app): State<Arc<App>>, Path((source, id)): Path<(String, String)>) -> Result<Json<EventInfo>> {
    let StoredEvent { event, sequence } = find(&app, &source, &id).await?;
    let mut info = EventInfo::of(&event, sequence, Some(event.body.len() as u64));
    info.headers = event.headers.iter().map(|(name, value)| (name.to_string(), shown(name, value))).collect();
    let states = join_all(info.calls.iter().map(|call| app.bus.calls.status(&call.call_id))).await;
    for (call, status) in info.calls.iter_mut().zip(states) {
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

pub(super) fn name(source: &str) -> Result<SourceName> {
    source.parse().map_err(|_| Error::UnknownSource)
}

pub(super) async fn find(app: &App, source: &str, id: &str) -> Result<StoredEvent> {
    let unknown = || Error::UnknownEvent(id.chars().take(128).collect());
    let event: EventId = id.parse().map_err(|_| unknown())?;
    app.require_bus().await?.events.get(&name(source)?, &event).await?.ok_or_else(unknown)
}
