//! What was verified becomes an event: which one it is and which routes it takes is decided here, once, and stored with it.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{HeaderValue, header};
use skep_bus::Submitted;
use skep_http::Peer;
use skep_protocol::{
    Decision, Event, EventDebounce, EventOutcome, EventRoute, IgnoredRoute, Proof, RouteName, Verified, headers,
};
use skep_sources::{AnswerBy, Debounced, Receiver, Route, Verdict};

use super::{
    hook::Hook,
    metrics::Outcome,
    receive::apart_if_large,
    request::{Arrived, tell_origin},
};
use crate::{Error, Result, app::App, calls};

/// Bytes of an event's headers that tell why it does not take routes.
const MAX_REASON_BYTES: usize = 8 * 1024;

/// Stores the events of a request, and answers when all of them are stored.
pub(super) async fn accept(
    app: &Arc<App>,
    hook: &Arc<Hook>,
    peer: &Peer,
    arrived: &Arc<Arrived>,
    verified: Verified,
) -> Result<Response> {
    let (bytes, limit) = (app.queues.bytes(), app.limits.queue_bytes);
    if bytes >= limit {
        return Err(Error::QueueFull { bytes, limit });
    }
    let events = {
        let (app, hook, peer, arrived) = (Arc::clone(app), Arc::clone(hook), peer.clone(), Arc::clone(arrived));
        apart_if_large(arrived.body.len(), move || decide(&app, &hook, Some(&peer), &arrived, &verified)).await??
    };
    let stored = store(app, hook, &events).await?;
    let receiver = hook.receiver()?;
    let own = match (receiver.source().answer, &events[..], &stored[..]) {
        (AnswerBy::Function, [event], [submitted]) => answer_of_function(app, receiver, event, *submitted).await,
        _ => None,
    };
    let mut response = own.unwrap_or_else(|| acknowledged(receiver));
    let map = response.headers_mut();
    map.insert(headers::SKEP_DURABILITY, HeaderValue::from_static(app.bus.connection.durability().tier.as_str()));
    if let [event] = &events[..]
        && let Ok(id) = HeaderValue::from_str(event.id.as_str())
    {
        map.insert(headers::SKEP_EVENT_ID, id);
    }
    if stored.iter().all(|submitted| *submitted == Submitted::Duplicate) && !stored.is_empty() {
        map.insert(headers::SKEP_DUPLICATE, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Which events a request is, and what becomes of each of them.
pub(super) fn decide(
    app: &App,
    hook: &Hook,
    peer: Option<&Peer>,
    arrived: &Arrived,
    verified: &Verified,
) -> Result<Vec<Event>> {
    let receiver = hook.receiver()?;
    let events = receiver.events(&arrived.as_request(), word_for(verified.by));
    let events = events.map_err(|error| Error::InvalidRequest(error.to_string()))?;
    let decided = events.iter().map(|event| {
        let request = &event.request;
        let mut headers = receiver.stored_headers(request);
        tell_origin(&mut headers, peer, arrived.remote, &app.trusted_proxies);
        let headers = app.bus.calls.stored_headers(headers, None);
        let query = receiver.stored_query(request);
        let stored = skep_sources::Event {
            request: skep_sources::Request { headers: &headers, query: query.as_deref(), ..*request },
            ..event.clone()
        };
        let body = if request.body.len() == arrived.body.len() {
            arrived.body.clone()
        } else {
            Bytes::copy_from_slice(request.body)
        };
        let decision = receiver.decide(event);
        let routes = decision.routes.iter().filter_map(|name| receiver.route(name));
        let routes = routes.map(|route| planned(receiver, route, &stored, None)).collect();
        Event {
            source: hook.name().clone(),
            id: event.id.clone(),
            kind: event.event_type.clone().unwrap_or_default(),
            received_at: arrived.received_at,
            verified: verified.clone(),
            decision: Decision { routes, ignored: ignored(decision.ignored), paused: hook.is_paused },
            method: request.method.clone(),
            path: request.path.to_owned(),
            query,
            remote: arrived.remote,
            headers,
            body,
        }
    });
    let decided: Vec<Event> = decided.collect();
    // What could not be queued later is refused now.
    let check = |event: &Event| event.check_calls().map_err(skep_bus::Error::HeadersTooLarge);
    decided.iter().try_for_each(check)?;
    Ok(decided)
}

/// What the router needs to know of a route: how the function's request differs from what is stored.
pub(super) fn planned(
    receiver: &Receiver,
    route: &Route,
    stored: &skep_sources::Event<'_>,
    replay: Option<&str>,
) -> EventRoute {
    let wanted = receiver.function_request(route, stored, replay);
    let debounced = receiver.debounced(route, stored);
    let request = &stored.request;
    let is_path = wanted.path == request.path || (wanted.path == "/" && request.path.is_empty());
    let mut planned = EventRoute {
        route: route.name().clone(),
        function: wanted.function,
        path: (!is_path).then_some(wanted.path),
        headers: Vec::new(),
        body: (*wanted.body != *request.body).then(|| Bytes::from(wanted.body.into_owned())),
        delay_seconds: route.delay().map(|delay| delay.as_secs()),
        debounce: debounced
            .map(|Debounced { key, wait, at_most }| EventDebounce::new(route.name(), &key, wait, at_most)),
        retry: route.retry().annotations(),
        callback: wanted.callback,
        steps: route.steps().map(<[_]>::to_vec),
    };
    for (name, value) in &wanted.headers {
        if request.headers.get_all(name).iter().all(|known| known != value) && !headers::is_of_event(name) {
            planned.add_header(name, value);
        }
    }
    planned
}

/// An event that is stored, as filters and routes see it.
pub(super) fn as_stored(event: &Event) -> skep_sources::Event<'_> {
    skep_sources::Event {
        request: skep_sources::Request {
            method: &event.method,
            path: &event.path,
            query: event.query.as_deref(),
            headers: &event.headers,
            body: &event.body,
            received_at: event.received_at,
        },
        id: event.id.clone(),
        event_type: Some(event.kind.clone()).filter(|kind| !kind.is_empty()),
        verified: word_for(event.verified.by),
    }
}

/// The routes that an event does not take; of many, the reasons of the first.
fn ignored(routes: Vec<(RouteName, String)>) -> Vec<IgnoredRoute> {
    let mut room = MAX_REASON_BYTES;
    let kept = routes.into_iter().map(|(route, reason)| match room.checked_sub(reason.len()) {
        Some(rest) => {
            room = rest;
            IgnoredRoute { route, reason }
        }
        None => IgnoredRoute { route, reason: "the reason is left out, because there are too many".to_owned() },
    });
    kept.collect()
}

/// Stores all of them, and says of each whether it was new.
pub(super) async fn store(app: &App, hook: &Hook, events: &[Event]) -> Result<Vec<Submitted>> {
    let keep = hook.receiver()?.keep();
    let bus = app.require_bus().await?;
    let stored = try_join_all(events.iter().map(|event| bus.events.store(event, keep))).await?;
    for (event, submitted) in events.iter().zip(&stored) {
        let outcome = match (submitted, event.decision.outcome()) {
            (Submitted::Duplicate, _) => Outcome::Duplicate,
            (Submitted::Accepted, EventOutcome::Ignored) => Outcome::Ignored,
            (Submitted::Accepted, EventOutcome::Routed | EventOutcome::Paused) => Outcome::Accepted,
        };
        app.hooks.metrics.count(hook.name(), outcome);
        if *submitted == Submitted::Accepted {
            hook.heard.note(event.received_at);
            hook.heard.last().into_iter().for_each(|last| app.hooks.metrics.set_last(hook.name(), last));
        }
    }
    Ok(stored)
}

/// What the sender of an accepted event gets.
pub(super) fn acknowledged(receiver: &Receiver) -> Response {
    let ack = receiver.ack();
    let mut response = (ack.status, ack.body.clone()).into_response();
    let map = response.headers_mut();
    if ack.body.is_empty() {
        map.remove(header::CONTENT_TYPE);
    }
    for (name, value) in &ack.headers {
        map.insert(name, value.clone());
    }
    response
}

/// The answer of the one function that the event goes to, if it comes in time; the router would make the same call.
async fn answer_of_function(app: &App, receiver: &Receiver, event: &Event, submitted: Submitted) -> Option<Response> {
    let first = match submitted {
        Submitted::Accepted => None,
        Submitted::Duplicate => app.bus.events.get(&event.source, &event.id).await.ok()?.map(|stored| stored.event),
    };
    let event = first.as_ref().unwrap_or(event);
    let [route] = &event.decision.routes[..] else { return None };
    if event.decision.paused {
        return None;
    }
    app.dispatch.registry().get(&route.function)?;
    let call = event.call(route, None, skep_bus::now());
    app.bus.calls.submit(&call).await.ok()?;
    calls::answer_within(app, &call.call_id, call.fingerprint.as_ref(), receiver.wait()).await
}

pub(super) fn verified(verdict: &Verdict) -> Verified {
    let by = match verdict {
        Verdict::Signature { .. } => Proof::Signature,
        Verdict::Token { .. } => Proof::Token,
        Verdict::None | Verdict::Refused(_) => Proof::None,
    };
    Verified { by, key: verdict.key().map(str::to_owned) }
}

fn word_for(proof: Proof) -> skep_sources::Verified {
    match proof {
        Proof::Signature => skep_sources::Verified::Signature,
        Proof::Token => skep_sources::Verified::Token,
        Proof::None => skep_sources::Verified::None,
        Proof::Released => skep_sources::Verified::Released,
        Proof::Forced => skep_sources::Verified::Forced,
        Proof::Test => skep_sources::Verified::Test,
    }
}
