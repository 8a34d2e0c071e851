//! What a function sees of an event.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use skep_protocol::{FunctionName, SourceName};
use time::{UtcOffset, format_description::well_known::Rfc3339};
use url::Url;

use crate::{
    Request, cloudevents,
    event::{Event, Facts},
    receiver::Receiver,
    reference::JsonPath,
    route::Route,
    send::Send,
};

/// The request that a route makes of an event, without the headers that skep adds about the event; the method is always `POST`.
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
pub(crate) fn of<'e>(receiver: &Receiver, route: &Route, event: &Event<'e>) -> FunctionRequest<'e> {
    // A secret that is not stored goes to no function either, even if the event was not read from where it is stored.
    let (stored_headers, query) = (receiver.stored_headers(&event.request), receiver.stored_query(&event.request));
    let stored = Request { headers: &stored_headers, query: query.as_deref(), ..event.request };
    let facts = receiver.facts(&stored);
    let source = receiver.name();
    let mut headers = stored_headers.clone();
    let body = match &route.send {
        Send::Body => event.request.body.into(),
        Send::Json(path) => one_value(&facts, path, &mut headers),
        Send::Binary if receiver.is_cloudevent(&stored) => cloudevents::to_binary(event, &mut headers),
        Send::Binary => {
            cloudevents::binary(&attributes(source, event), &mut headers);
            event.request.body.into()
        }
        Send::Structured if receiver.is_cloudevent(&stored) => cloudevents::to_structured(event, &mut headers),
        Send::Structured => cloudevents::structured(attributes(source, event), &mut headers, event.request.body).into(),
    };
    for (name, added) in &route.headers {
        if let Some(value) = added.value(&facts, event) {
            headers.insert(name, value);
        }
    }
    FunctionRequest {
        function: route.first_function().clone(),
        path: route.path.clone().unwrap_or_else(|| facts.path().to_owned()),
        query,
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
