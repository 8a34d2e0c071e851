//! `POST /system/sources/NAME/replay`: events that are kept make calls again, by the routes of today.

use std::{sync::Arc, time::Duration};

use axum::{Extension, Json, extract::State};
use futures_util::future::try_join_all;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde::Deserialize;
use serde_json::Value;
use skep_bus::{EventFilter, StoredEvent, describe_publish};
use skep_protocol::{CallOfEvent, Event, EventId, EventRoute, Replayed, SourceName};
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
    spans,
};

/// Events that are read at once.
const PAGE: usize = 50;
/// A request goes on no longer than this; the caller asks again from `next`.
const MAX_REPLAY: Duration = Duration::from_secs(60);
const MAX_EVENTS: usize = 1000;
/// The longest time between two events at a rate, so that a request ends soon after its minute.
const MAX_PACE: Duration = Duration::from_secs(30);
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
    /// Only shows which calls would be made.
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
    let hook = app.hooks.source(&source)?;
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
        return Ok(done(&asked, replayed));
    }
    let Asked { since, until, kind, outcome, .. } = asked.clone();
    // Its route is one of today, which events may not have taken then.
    let wanted = Wanted { since, until, kind, outcome, route: None };
    if !wanted.says_something() && asked.filter.is_none() {
        let reason = "say which events: ids, since, until, type, filter or outcome (routed, ignored, paused, failed)";
        return Err(Error::InvalidRequest(reason.to_owned()));
    }
    let filter = wanted.filter()?;
    replayed.next = run.all(&name, &filter, &mut replayed).await?;
    // Routes of then may have had names that none has today.
    if replayed.calls.is_empty() && replayed.next.is_none() && asked.after == 0 {
        require_route(&hook, asked.route.as_deref())?;
    }
    Ok(done(&asked, replayed))
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

/// The pace of a replay; one that goes on has taken its first event before.
fn pace(rate: &str, goes_on: bool) -> std::result::Result<Option<DefaultDirectRateLimiter>, String> {
    let rate: Rate = rate.parse()?;
    let each = (rate.per / rate.events.get()).max(Duration::from_nanos(1));
    if each > MAX_PACE {
        return Err("use 2/m or more".to_owned());
    }
    let pace = Quota::with_period(each).map(RateLimiter::direct);
    if let (true, Some(pace)) = (goes_on, &pace) {
        // A new limiter would let the next one through at once.
        let _ = pace.check();
    }
    Ok(pace)
}

fn done(asked: &Asked, replayed: Replayed) -> (Extension<Done>, Json<Replayed>) {
    let made = if asked.dry_run { 0 } else { replayed.calls.len() };
    (Extension(Done(made)), Json(replayed))
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
        let receiver = hook.receiver()?;
        let filter = asked.filter.as_ref().map(|filter| receiver.filter(filter)).transpose();
        let pace = asked.rate.as_deref().map(|rate| pace(rate, asked.after > 0)).transpose();
        let pace = pace.map_err(|reason| invalid("rate", reason))?.flatten();
        let filter = filter.map_err(|error| invalid("filter", error.to_string()))?;
        if !asked.as_then {
            require_route(hook, asked.route.as_deref())?;
        }
        Ok(Self { app, hook, asked, filter, pace })
    }

    /// Makes the calls of the events that the filter admits, for a minute; returns the place to go on from if it is not done.
    async fn all(&self, source: &SourceName, filter: &EventFilter, replayed: &mut Replayed) -> Result<Option<u64>> {
        let give_up = Instant::now() + MAX_REPLAY;
        let limit = self.asked.limit.unwrap_or(MAX_EVENTS).clamp(1, MAX_EVENTS);
        let mut after = self.asked.after;
        loop {
            let events = &self.app.require_bus().await?.events;
            let (page, next) = events.list_after(source, filter, PAGE, after).await?;
            for StoredEvent { event, sequence, .. } in &page {
                if replayed.events as usize >= limit || Instant::now() >= give_up {
                    return Ok(Some(after));
                }
                self.again(event, replayed).await?;
                after = *sequence;
            }
            let Some(place) = next else { return Ok(None) };
            after = place;
            // Many may have been looked at, and none of them meant.
            if Instant::now() >= give_up {
                return Ok(Some(after));
            }
        }
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
            hook.receiver()?.decided_again(event, &|topics| app.dispatch.registry().subscribed(topics))
        };
        routes.retain(|route| asked.route.as_deref().is_none_or(|name| name == route.route.as_str()));
        if !self.keep_wanted(event, &mut routes, &replayed.replay).await? {
            return Ok(());
        }
        if let (Some(pace), false) = (&self.pace, asked.dry_run) {
            pace.until_ready().await;
        }
        // A source that is removed meanwhile makes no more calls.
        app.hooks.source(hook.name().as_str())?;
        for route in &routes {
            let mut call = event.call(route, Some(&replayed.replay), skep_bus::now());
            if !asked.dry_run {
                // A function that is not deployed makes a dead letter, and others are not held up.
                let sampled = app.function(&call.function).ok().and_then(|function| function.policy.traced);
                let span = spans::publish_again(&app.tracer, event.trace.clone(), sampled);
                call.trace = span.as_ref().map(|span| span.context().clone());
                span.iter().for_each(|span| describe_publish(span, &call));
                app.bus.calls.submit(&call).await?;
            }
            let (function, call_id) = (call.function, call.call_id);
            let call = CallOfEvent { route: route.route.clone(), function, call_id, state: None };
            if !asked.dry_run {
                // It comes after the call: what is noted has been queued.
                app.bus.events.note_replay(event, &replayed.replay, &call).await?;
            }
            replayed.calls.push(call);
        }
        replayed.events += 1;
        Ok(())
    }

    /// Leaves the routes that are meant by the outcome that is asked for, and says whether the event is.
    ///
    /// What counts is how each route stands now: other replays may have made its call since.
    async fn keep_wanted(&self, event: &Event, routes: &mut Vec<EventRoute>, replay: &str) -> Result<bool> {
        let Self { app, asked, .. } = *self;
        let Some(outcome) = asked.outcome.filter(|outcome| *outcome != Outcome::Routed) else { return Ok(true) };
        let replays = app.require_bus().await?.events.replays(&event.source, &event.id, event.received_at).await?;
        let looks = routes.iter().map(|route| {
            let mut calls = replays.iter().filter(|known| known.call.route == route.route);
            // What this replay has made before is a part of it; its id makes no second call.
            let is_own = calls.clone().any(|known| known.replay == replay);
            let latest = calls.next_back().map(|known| known.call.call_id.clone());
            async move {
                Ok::<_, Error>(match outcome {
                    _ if is_own => true,
                    Outcome::Failed => {
                        wanted::has_failed(app, &latest.unwrap_or_else(|| event.call_id(&route.route, None))).await?
                    }
                    _ => latest.is_none(),
                })
            }
        });
        let mut wanted = try_join_all(looks).await?.into_iter();
        let had_any = !routes.is_empty();
        routes.retain(|_| wanted.next().unwrap_or_default());
        // An ignored event that no route of today takes is meant all the same, and makes no call.
        Ok(!routes.is_empty() || (!had_any && outcome == Outcome::Ignored))
    }
}
