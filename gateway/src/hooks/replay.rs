//! `POST /system/sources/NAME/replay`: events that are kept make calls again, by the routes of today.

use std::{sync::Arc, time::Duration};

use axum::{Extension, Json, extract::State};
use futures_util::future::try_join_all;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde::Deserialize;
use serde_json::Value;
use skep_bus::StoredEvent;
use skep_protocol::{CallOfEvent, Event, EventId, Replayed, RouteName};
use skep_sources::{Filter, Rate};
use tokio::time::Instant;

use super::{
    events,
    hook::Hook,
    wanted::{self, Outcome, Wanted},
};
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
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Asked {
    /// These, and no others.
    ids: Vec<EventId>,
    since: Option<String>,
    until: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    outcome: Option<Outcome>,
    /// A filter as routes have it, which they pass.
    filter: Option<Value>,
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
    /// At most so many events in a time (20/s).
    rate: Option<String>,
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
    let run = Run::of(&app, &hook, &asked)?;
    if !asked.ids.is_empty() {
        for id in &asked.ids {
            let stored = events::find(&app, &source, id.as_str()).await?;
            run.again(&stored.event, &mut replayed).await?;
        }
        if replayed.calls.is_empty() {
            require_route(&hook, asked.route.as_deref())?;
        }
        return Ok(done(replayed));
    }
    let Asked { since, until, kind, outcome, .. } = asked.clone();
    // Its route is one of today, which events may not have taken then.
    let wanted = Wanted { since, until, kind, outcome, route: None };
    if !wanted.says_something() && asked.filter.is_none() {
        let reason = "say which events: ids, since, until, type, filter or outcome (routed, ignored, paused, failed)";
        return Err(Error::InvalidRequest(reason.to_owned()));
    }
    let filter = wanted.filter()?;
    let (give_up, limit) = (Instant::now() + MAX_REPLAY, asked.limit.unwrap_or(MAX_EVENTS).clamp(1, MAX_EVENTS));
    let mut after = asked.after;
    loop {
        let (page, next) = app.require_bus().await?.events.list_after(&name, &filter, PAGE, after).await?;
        for StoredEvent { event, sequence } in &page {
            if replayed.events as usize >= limit || Instant::now() >= give_up {
                replayed.next = Some(after);
                return Ok(done(replayed));
            }
            run.again(event, &mut replayed).await?;
            after = *sequence;
        }
        match next {
            Some(_) => {}
            None => {
                // Routes of then may have had names that none has today.
                if replayed.calls.is_empty() && asked.after == 0 {
                    require_route(&hook, asked.route.as_deref())?;
                }
                return Ok(done(replayed));
            }
        }
    }
}

/// Fails if the source has no such route today.
fn require_route(hook: &Hook, name: Option<&str>) -> Result<()> {
    let Some(name) = name else { return Ok(()) };
    let routes: Vec<_> = hook.receiver()?.routes().iter().map(|route| route.name().as_str()).collect();
    if routes.contains(&name) {
        return Ok(());
    }
    let (name, source, routes) = (name.chars().take(64).collect::<String>(), hook.name(), routes.join(", "));
    let routes = if routes.is_empty() { "it has none".to_owned() } else { format!("its routes are {routes}") };
    Err(Error::InvalidRequest(format!("route: source {source} has no route {name:?}: {routes}")))
}

fn done(replayed: Replayed) -> (Extension<Done>, Json<Replayed>) {
    (Extension(Done(replayed.calls.len())), Json(replayed))
}

/// A replay with its filter and its pace.
struct Run<'r> {
    app: &'r App,
    hook: &'r Hook,
    asked: &'r Asked,
    filter: Option<Filter>,
    pace: Option<DefaultDirectRateLimiter>,
}

impl<'r> Run<'r> {
    fn of(app: &'r App, hook: &'r Hook, asked: &'r Asked) -> Result<Self> {
        let invalid = |key: &str, reason: String| Error::InvalidRequest(format!("{key}: {reason}"));
        let filter = asked.filter.as_ref().map(Filter::compile).transpose();
        let rate = asked.rate.as_deref().map(str::parse::<Rate>).transpose();
        let pace = rate.map_err(|reason| invalid("rate", reason))?.and_then(|rate| {
            let each = rate.per.checked_div(rate.events.get())?.max(Duration::from_nanos(1));
            Some(RateLimiter::direct(Quota::with_period(each)?))
        });
        let filter = filter.map_err(|error| invalid("filter", error.to_string()))?;
        if !asked.as_then {
            require_route(hook, asked.route.as_deref())?;
        }
        Ok(Self { app, hook, asked, filter, pace })
    }

    /// Makes the calls of one event, if it is meant.
    async fn again(&self, event: &Event, replayed: &mut Replayed) -> Result<()> {
        let Self { app, hook, asked, .. } = *self;
        if let Some(filter) = &self.filter
            && hook.receiver()?.miss(filter, &skep_sources::Event::of_stored(event)).is_some()
        {
            return Ok(());
        }
        let mut routes = if asked.as_then {
            event.decision.routes.clone()
        } else {
            let receiver = hook.receiver()?;
            let topics = receiver.topics(&skep_sources::Event::of_stored(event));
            receiver.decided_again(event, &app.dispatch.registry().subscribed(&topics))
        };
        routes.retain(|route| asked.route.as_deref().is_none_or(|name| name == route.route.as_str()));
        if asked.outcome == Some(Outcome::Failed) {
            let looks = routes.iter().map(|route| has_failed(app, event, &route.route));
            let mut failed = try_join_all(looks).await?.into_iter();
            routes.retain(|_| failed.next().unwrap_or_default());
            if routes.is_empty() {
                return Ok(());
            }
        }
        if let (Some(pace), false) = (&self.pace, asked.dry_run) {
            pace.until_ready().await;
        }
        for route in &routes {
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
}

/// Whether the call that a route made of an event, when it came, has failed.
async fn has_failed(app: &App, event: &Event, route: &RouteName) -> Result<bool> {
    wanted::has_failed(app, &event.call_id(route, None)).await
}
