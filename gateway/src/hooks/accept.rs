//! What was verified becomes an event: which one it is and which routes it takes is decided here, once, and stored with it.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{HeaderValue, header};
use skep_bus::Submitted;
use skep_http::Peer;
use skep_protocol::{Event, EventOutcome, Proof, Verified, headers};
use skep_sources::{AnswerBy, Kept, Receiver, Verdict};

use super::{
    hook::Hook,
    metrics::Outcome,
    receive::apart_if_large,
    request::{Arrived, add_origin},
};
use crate::{Error, Result, app::App, calls, spans::Scope};

/// Stores the events of a request, and answers when all of them are stored.
pub(super) async fn accept(
    app: &Arc<App>,
    hook: &Arc<Hook>,
    peer: &Peer,
    arrived: &Arc<Arrived>,
    verified: Verified,
    scope: &Scope,
) -> Result<Response> {
    let (bytes, limit) = (app.queues.bytes(), app.limits.queue_bytes);
    if bytes >= limit {
        return Err(Error::QueueFull { bytes, limit });
    }
    let mut events = {
        let (app, hook, peer, arrived) = (Arc::clone(app), Arc::clone(hook), peer.clone(), Arc::clone(arrived));
        apart_if_large(arrived.body.len(), move || decide(&app, &hook, Some(&peer), &arrived, &verified)).await??
    };
    let stored = store(app, hook, &mut events).await?;
    let receiver = hook.receiver()?;
    let own = match (receiver.source().answer, &events[..], &stored[..]) {
        (AnswerBy::Function, [event], [submitted]) => answer_of_function(app, receiver, event, *submitted, scope).await,
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
    let events = receiver.events(&arrived.as_request(), verified.by);
    let events = events.map_err(|error| Error::InvalidRequest(error.to_string()))?;
    let decided = events.iter().map(|event| {
        let request = &event.request;
        let mut headers = receiver.stored_headers(request);
        add_origin(&mut headers, peer, arrived.remote, &app.trusted_proxies);
        let body = if request.body.len() == arrived.body.len() {
            arrived.body.clone()
        } else {
            Bytes::copy_from_slice(request.body)
        };
        let kept = Kept {
            headers: app.bus.calls.stored_headers(headers, None),
            query: receiver.stored_query(request),
            body,
            verified: verified.clone(),
            remote: arrived.remote,
            paused: hook.is_paused,
        };
        let decided = receiver.decided(event, kept, &|topics| app.dispatch.registry().subscribed(topics));
        Event { trace: arrived.trace.clone(), ..decided }
    });
    let decided: Vec<Event> = decided.collect();
    // What could not be queued later is refused now.
    let check = |event: &Event| event.check_calls().map_err(skep_bus::Error::HeadersTooLarge);
    decided.iter().try_for_each(check)?;
    Ok(decided)
}

/// Stores all of them, and says of each whether it was new.
pub(super) async fn store(app: &App, hook: &Hook, events: &mut [Event]) -> Result<Vec<Submitted>> {
    let keep = hook.receiver()?.keep();
    let bus = app.require_bus().await?;
    for route in events.iter_mut().flat_map(|event| &mut event.decision.routes) {
        // It is stored with the event, so that a call that is queued twice has one place.
        route.in_bulk = bus.calls.is_often(&route.function);
    }
    let events = &*events;
    let stored = try_join_all(events.iter().map(|event| bus.events.store(event, keep))).await?;
    for (event, submitted) in events.iter().zip(&stored) {
        let outcome = match (submitted, event.decision.outcome()) {
            (Submitted::Duplicate, _) => Outcome::Duplicate,
            (Submitted::Accepted, EventOutcome::Ignored) => Outcome::Ignored,
            (Submitted::Accepted, EventOutcome::Routed | EventOutcome::Paused) => Outcome::Accepted,
        };
        app.hooks.metrics.count(hook.name(), outcome);
        if outcome == Outcome::Duplicate {
            bus.events.note_duplicate(hook.name(), &event.id).await;
        }
        if *submitted == Submitted::Accepted {
            hook.last_event.note(event.received_at);
            hook.last_event.at().into_iter().for_each(|last| app.hooks.metrics.set_last(hook.name(), last));
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
async fn answer_of_function(
    app: &App,
    receiver: &Receiver,
    event: &Event,
    submitted: Submitted,
    scope: &Scope,
) -> Option<Response> {
    let first = match submitted {
        Submitted::Accepted => None,
        Submitted::Duplicate => app.bus.events.get(&event.source, &event.id).await.ok()?.map(|stored| stored.event),
    };
    let event = first.as_ref().unwrap_or(event);
    let [route] = &event.decision.routes[..] else { return None };
    if event.decision.paused || event.decision.is_routed_only {
        return None;
    }
    app.dispatch.registry().get(&route.function)?;
    let mut call = event.call(route, None, skep_bus::now());
    let publishing = scope.publish(&mut call);
    app.bus.calls.submit(&call).await.ok()?;
    drop(publishing);
    calls::answer_within(app, &call.call_id, call.fingerprint.as_ref(), receiver.wait()).await
}

pub(super) fn verified(verdict: &Verdict) -> Verified {
    Verified { by: verdict.proof().unwrap_or(Proof::None), key: verdict.key().map(str::to_owned) }
}
