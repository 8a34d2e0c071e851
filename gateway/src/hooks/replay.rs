//! `POST /system/sources/NAME/replay`: events that are kept make calls again, by the routes of today.

use std::{sync::Arc, time::Duration};

use axum::{Extension, Json, extract::State};
use serde::Deserialize;
use skep_bus::StoredEvent;
use skep_protocol::{CallOfEvent, Event, EventId, EventOutcome, EventRoute, Replayed};
use tokio::time::Instant;

use super::{accept, events, events::Wanted, hook::Hook};
use crate::{
    Error, Result,
    app::App,
    audit_log::Done,
    input::{self, Segment},
};

/// Events that are read at once.
const PAGE: usize = 50;
/// A request goes on no longer than this; the caller asks again from `next`.
const MAX_REPLAY: Duration = Duration::from_secs(60);
const MAX_EVENTS: usize = 1000;
const MAX_REPLAY_ID: usize = 64;

/// Which events are to make calls again, and how.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Asked {
    /// These, and no others.
    ids: Vec<EventId>,
    since: Option<String>,
    until: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    outcome: Option<EventOutcome>,
    /// By this route alone.
    route: Option<String>,
    /// By the routes that they were given when they came.
    as_then: bool,
    /// Only tells which calls would be made.
    dry_run: bool,
    /// The id of a replay that was broken off: what it has made already is not made again.
    replay: Option<String>,
    /// Events behind this place.
    after: u64,
    limit: Option<usize>,
}

pub(super) async fn replay(
    State(app): State<Arc<App>>,
    Segment(source): Segment,
    input::Json(asked): input::Json<Asked>,
) -> Result<(Extension<Done>, Json<Replayed>)> {
    let name = events::name(&source)?;
    let hook = app.hooks.sources.get(&source).ok_or(Error::UnknownSource)?;
    let id = asked.replay.clone().unwrap_or_else(|| EventId::generate().to_string());
    if id.len() > MAX_REPLAY_ID || id.parse::<EventId>().is_err() {
        return Err(Error::InvalidRequest("replay: use 1 to 64 letters, digits, hyphens and underscores".to_owned()));
    }
    let mut replayed = Replayed { replay: id, ..Replayed::default() };
    let Asked { since, until, kind, outcome, .. } = &asked;
    // Its route is one of today, which events may not have taken then.
    let filter =
        Wanted { since: since.clone(), until: until.clone(), kind: kind.clone(), outcome: *outcome, route: None };
    let filter = filter.filter()?;
    if !asked.ids.is_empty() {
        for id in &asked.ids {
            let stored = events::find(&app, &source, id.as_str()).await?;
            again(&app, &hook, &stored.event, &asked, &mut replayed).await?;
        }
        return Ok(done(replayed));
    }
    if since.is_none() && until.is_none() && kind.is_none() && outcome.is_none() {
        let reason = "say which events: ids, since, until, type or outcome (routed, ignored, paused)";
        return Err(Error::InvalidRequest(reason.to_owned()));
    }
    let (give_up, limit) = (Instant::now() + MAX_REPLAY, asked.limit.unwrap_or(MAX_EVENTS).clamp(1, MAX_EVENTS));
    let mut after = asked.after;
    loop {
        let left = limit.saturating_sub(usize::try_from(replayed.events).unwrap_or(usize::MAX));
        let (page, next) = app.require_bus().await?.events.list_after(&name, &filter, left.min(PAGE), after).await?;
        for StoredEvent { event, sequence } in &page {
            again(&app, &hook, event, &asked, &mut replayed).await?;
            after = *sequence;
        }
        let Some(next) = next else { return Ok(done(replayed)) };
        if replayed.events as usize >= limit || Instant::now() >= give_up {
            replayed.next = Some(next);
            return Ok(done(replayed));
        }
    }
}

fn done(replayed: Replayed) -> (Extension<Done>, Json<Replayed>) {
    (Extension(Done(replayed.calls.len())), Json(replayed))
}

/// Makes the calls of one event.
async fn again(app: &App, hook: &Hook, event: &Event, asked: &Asked, replayed: &mut Replayed) -> Result<()> {
    let routes = if asked.as_then { event.decision.routes.clone() } else { today(hook, event, &replayed.replay)? };
    let is_meant = |route: &EventRoute| asked.route.as_deref().is_none_or(|name| name == route.route.as_str());
    for route in routes.iter().filter(|route| is_meant(route)) {
        let call = event.call(route, Some(&replayed.replay), skep_bus::now());
        if !asked.dry_run {
            app.function(&call.function)?;
            app.bus.calls.submit(&call).await?;
        }
        let (function, call_id) = (call.function, call.call_id);
        replayed.calls.push(CallOfEvent { route: route.route.clone(), function, call_id, state: None });
    }
    replayed.events += 1;
    Ok(())
}

/// The routes that an event takes as its source is declared now.
fn today(hook: &Hook, event: &Event, replay: &str) -> Result<Vec<EventRoute>> {
    let receiver = hook.receiver()?;
    let stored = accept::as_stored(event);
    let decision = receiver.decide(&stored);
    let routes = decision.routes.iter().filter_map(|name| receiver.route(name));
    let planned = |route| accept::planned(route, receiver.function_request(route, &stored, Some(replay)), &stored);
    Ok(routes.map(planned).collect())
}
