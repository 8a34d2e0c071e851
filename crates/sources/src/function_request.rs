//! What a function sees of an event.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use skep_protocol::{FunctionName, SourceName};
use time::{UtcOffset, format_description::well_known::Rfc3339};
use url::Url;

use crate::{
    cloudevents,
    event::{Event, Facts},
    json::Found,
    route::Route,
    send::Send,
};

pub const SOURCE: HeaderName = HeaderName::from_static("x-skep-source");
pub const EVENT_ID: HeaderName = HeaderName::from_static("x-skep-event-id");
pub const EVENT_TYPE: HeaderName = HeaderName::from_static("x-skep-event-type");
pub const RECEIVED_AT: HeaderName = HeaderName::from_static("x-skep-received-at");
pub const VERIFIED: HeaderName = HeaderName::from_static("x-skep-verified");
pub const ROUTE: HeaderName = HeaderName::from_static("x-skep-route");
pub const REPLAY: HeaderName = HeaderName::from_static("x-skep-replay");
/// OpenFaaS's name for what an event is about.
pub const TOPIC: HeaderName = HeaderName::from_static("x-topic");
/// OpenFaaS's name for what brings events.
pub const CONNECTOR: HeaderName = HeaderName::from_static("x-connector");

/// The request that a route makes of an event; the method is always `POST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionRequest<'e> {
    pub function: FunctionName,
    /// The raw path, beginning with `/`.
    pub path: String,
    pub query: Option<String>,
    pub headers: HeaderMap,
    pub body: Cow<'e, [u8]>,
    /// Where the function's answer goes.
    pub callback: Option<Url>,
}

/// Fills in a route for an event.
pub(crate) fn of<'e>(
    source: &SourceName,
    route: &Route,
    facts: &Facts<'e>,
    event: &Event<'e>,
    replay: Option<&str>,
) -> FunctionRequest<'e> {
    let mut headers = event.request.headers.clone();
    let added: Vec<_> =
        route.headers.iter().filter_map(|(name, added)| Some((name.clone(), added.value(facts, event)?))).collect();
    let body = match &route.send {
        Send::Body => event.request.body.into(),
        Send::Json(path) => one_value(facts, path, &mut headers),
        Send::Binary => cloudevents::binary(source, facts, event, &mut headers),
        Send::Structured => cloudevents::structured(source, facts, event, &mut headers),
    };
    for (name, value) in added {
        headers.insert(name, value);
    }
    // Last, so that nothing else is taken for skep's word.
    tell(source, route, event, replay, &mut headers);
    FunctionRequest {
        function: route.first_function().clone(),
        path: route.path.clone().unwrap_or_else(|| facts.path().to_owned()),
        query: event.request.query.map(str::to_owned),
        headers,
        body,
        callback: route.callback().cloned(),
    }
}

fn tell(source: &SourceName, route: &Route, event: &Event<'_>, replay: Option<&str>, headers: &mut HeaderMap) {
    let received_at = event.request.received_at.to_offset(UtcOffset::UTC).format(&Rfc3339).ok();
    let told = [
        (SOURCE, Some(source.as_str().into())),
        (EVENT_ID, Some(event.id.as_str().into())),
        (EVENT_TYPE, event.event_type.as_deref().map(Cow::Borrowed)),
        (RECEIVED_AT, received_at.map(Cow::Owned)),
        (VERIFIED, Some(event.verified.as_str().into())),
        (ROUTE, Some(route.name().as_str().into())),
        (REPLAY, replay.map(Cow::Borrowed)),
        (TOPIC, Some(topic(source, event))),
        (CONNECTOR, Some("skep".into())),
    ];
    for (name, value) in told {
        // A sender's own word for it goes, even where there is nothing to tell.
        headers.remove(&name);
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(name, value);
        }
    }
}

/// The source and the event's type: what OpenFaaS calls a topic.
pub(crate) fn topic<'e>(source: &'e SourceName, event: &Event<'_>) -> Cow<'e, str> {
    match &event.event_type {
        Some(event_type) => format!("{source}.{event_type}").into(),
        None => source.as_str().into(),
    }
}

/// One value of the body: a text as it is, all else as the JSON that is written there.
fn one_value<'e>(facts: &Facts<'e>, path: &crate::reference::JsonPath, headers: &mut HeaderMap) -> Cow<'e, [u8]> {
    let kind = |headers: &mut HeaderMap, kind| headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let Some(written) = facts.written(path) else { return Cow::Borrowed(&[]) };
    match serde_json::from_str::<String>(written) {
        Ok(text) => {
            kind(headers, "text/plain; charset=utf-8");
            Cow::Owned(text.into_bytes())
        }
        Err(_) => {
            kind(headers, "application/json");
            Cow::Owned(written.as_bytes().to_vec())
        }
    }
}
