//! What a function sees of an event.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use skep_protocol::{FunctionName, SourceName};
use time::{UtcOffset, format_description::well_known::Rfc3339};
use url::Url;

use crate::{
    cloudevents,
    event::{Event, Facts},
    receiver::Receiver,
    reference::JsonPath,
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
pub(crate) fn of<'e>(receiver: &Receiver, route: &Route, event: &Event<'e>, replay: Option<&str>) -> FunctionRequest<'e> {
    let facts = receiver.facts(&event.request);
    let source = receiver.name();
    let mut headers = receiver.stored_headers(&event.request);
    let added: Vec<_> =
        route.headers.iter().filter_map(|(name, added)| Some((name.clone(), added.value(&facts, event)?))).collect();
    let body = match &route.send {
        Send::Body => event.request.body.into(),
        Send::Json(path) => one_value(&facts, path, &mut headers),
        Send::Binary if receiver.cloudevents => cloudevents::to_binary(event, &mut headers),
        Send::Binary => {
            cloudevents::binary(&attributes(source, event), &mut headers);
            event.request.body.into()
        }
        Send::Structured if receiver.cloudevents => cloudevents::to_structured(event, &mut headers),
        Send::Structured => cloudevents::structured(attributes(source, event), &mut headers, event.request.body).into(),
    };
    for (name, value) in added {
        headers.insert(name, value);
    }
    // Last, so that nothing else is taken for skep's word.
    tell(source, route, event, replay, &mut headers);
    FunctionRequest {
        function: route.first_function().clone(),
        path: route.path.clone().unwrap_or_else(|| facts.path().to_owned()),
        query: receiver.stored_query(&event.request),
        headers,
        body,
        callback: route.callback().cloned(),
    }
}

/// The attributes of an event that did not come as a CloudEvent.
fn attributes(source: &SourceName, event: &Event<'_>) -> Vec<(String, String)> {
    let subject = Some(event.request.path.trim_matches('/')).filter(|path| !path.is_empty());
    let attributes = [
        ("specversion", Some("1.0".to_owned())),
        ("id", Some(event.id.to_string())),
        ("source", Some(format!("/skep/source/{source}"))),
        ("type", Some(topic(source, event).into_owned())),
        ("time", received_at(event)),
        ("subject", subject.map(str::to_owned)),
    ];
    attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn received_at(event: &Event<'_>) -> Option<String> {
    event.request.received_at.to_offset(UtcOffset::UTC).format(&Rfc3339).ok()
}

fn tell(source: &SourceName, route: &Route, event: &Event<'_>, replay: Option<&str>, headers: &mut HeaderMap) {
    let told = [
        (SOURCE, Some(source.as_str().into())),
        (EVENT_ID, Some(event.id.as_str().into())),
        (EVENT_TYPE, event.event_type.as_deref().map(Cow::Borrowed)),
        (RECEIVED_AT, received_at(event).map(Cow::Owned)),
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
fn topic<'e>(source: &'e SourceName, event: &Event<'_>) -> Cow<'e, str> {
    match &event.event_type {
        Some(event_type) => format!("{source}.{event_type}").into(),
        None => source.as_str().into(),
    }
}

/// One value of the body: a text as it is, all else as the JSON that is written there.
fn one_value<'e>(facts: &Facts<'_>, path: &JsonPath, headers: &mut HeaderMap) -> Cow<'e, [u8]> {
    let Some(written) = facts.written(path) else { return Cow::Borrowed(&[]) };
    let (kind, value) = match serde_json::from_str::<String>(written) {
        Ok(text) => ("text/plain; charset=utf-8", text),
        Err(_) => ("application/json", written.to_owned()),
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Cow::Owned(value.into_bytes())
}
