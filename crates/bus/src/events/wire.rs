//! How events and held requests are written as NATS messages: the raw body, and everything else as headers.

use async_nats::HeaderMap as NatsHeaders;
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use skep_protocol::{Decision, Event, EventRoute};

pub(crate) use crate::wire::headers;
use crate::wire::{self, METHOD, PATH, QUERY, Unreadable};

const RECEIVED: &str = "Skep-Received";
const VERDICT: &str = "Skep-Verdict";
const TYPE: &str = "Skep-Type";
/// The routes that the event takes, as JSON: what the router needs to know of each.
const ROUTES: &str = "Skep-Routes";
/// The routes that it does not take, as JSON, each with the reason.
const IGNORED: &str = "Skep-Ignored";
/// The lengths of the bodies that stand one behind the other: that of the event, and then those that routes have of their own.
const BODIES: &str = "Skep-Bodies";
const PAUSED: &str = "Skep-Paused";
/// Only the router makes its calls.
const ROUTED_ONLY: &str = "Skep-Routed-Only";
/// What it is of a schedule, as JSON.
const OCCURRENCE: &str = "Skep-Occurrence";
const REMOTE: &str = "Skep-Remote";

pub(crate) fn event_headers(event: &Event) -> NatsHeaders {
    let mut headers = NatsHeaders::new();
    wire::add_version(&mut headers);
    wire::add_http_headers(&mut headers, wire::HTTP_PREFIX, &event.headers);
    headers.insert(RECEIVED, wire::timestamp(event.received_at));
    headers.insert(VERDICT, event.verified.to_string());
    headers.insert(TYPE, event.kind.as_str());
    headers.insert(METHOD, event.method.as_str());
    let request = RequestLine { path: &event.path, query: event.query.as_deref(), remote: event.remote };
    request.add(&mut headers);
    insert_json(&mut headers, ROUTES, &event.decision.routes);
    let own: Vec<_> = event.decision.routes.iter().map(|route| route.body.as_ref().map(Bytes::len)).collect();
    if own.iter().any(Option::is_some) {
        let lengths: Vec<_> = std::iter::once(Some(event.body.len())).chain(own).collect();
        insert_json(&mut headers, BODIES, &lengths);
    }
    insert_json(&mut headers, IGNORED, &event.decision.ignored);
    wire::add_trace(&mut headers, event.trace.as_ref());
    if event.decision.paused {
        headers.insert(PAUSED, "true");
    }
    if event.decision.is_routed_only {
        headers.insert(ROUTED_ONLY, "true");
    }
    if let Some(Ok(occurrence)) = event.occurrence.as_ref().map(serde_json::to_string) {
        headers.insert(OCCURRENCE, occurrence);
    }
    headers
}

/// The body of an event, and those that its routes have of their own.
pub(crate) fn event_body(event: &Event) -> Bytes {
    let own: Vec<&Bytes> = event.decision.routes.iter().filter_map(|route| route.body.as_ref()).collect();
    if own.is_empty() {
        return event.body.clone();
    }
    std::iter::once(&event.body).chain(own).flat_map(|body| body.iter().copied()).collect()
}

/// Takes the bodies apart; a message that was asked for without its body has none of them.
fn take_apart(headers: &NatsHeaders, mut rest: Bytes, routes: &mut [EventRoute]) -> Result<Bytes, Unreadable> {
    let lengths: Vec<Option<usize>> = read_json(headers, BODIES)?;
    let Some((of_event, of_routes)) = lengths.split_first() else { return Ok(rest) };
    let mut next = |length: usize| rest.split_to(length.min(rest.len()));
    let body = next(of_event.unwrap_or_default());
    for (route, length) in routes.iter_mut().zip(of_routes) {
        route.body = length.map(&mut next);
    }
    Ok(body)
}

pub(crate) fn read_event(subject: &str, headers: &NatsHeaders, body: Bytes) -> Result<Event, Unreadable> {
    wire::check_version(headers)?;
    let mut tokens = subject.rsplit('.');
    let (Some(id), Some(source)) = (tokens.next(), tokens.next()) else {
        return Err("its subject names no event".to_owned());
    };
    let mut routes: Vec<EventRoute> = read_json(headers, ROUTES)?;
    let body = take_apart(headers, body, &mut routes)?;
    Ok(Event {
        source: source.parse().map_err(|error| format!("{error}"))?,
        id: id.parse().map_err(|error| format!("{error}"))?,
        kind: wire::text(headers, TYPE).unwrap_or_default().to_owned(),
        received_at: wire::read_timestamp(headers, RECEIVED)?,
        verified: wire::parsed(headers, VERDICT)?,
        decision: Decision {
            routes,
            ignored: read_json(headers, IGNORED)?,
            paused: wire::text(headers, PAUSED).is_some(),
            is_routed_only: wire::text(headers, ROUTED_ONLY).is_some(),
        },
        method: wire::parsed(headers, METHOD)?,
        path: wire::text(headers, PATH).map(wire::unescaped_text).unwrap_or_default(),
        query: wire::text(headers, QUERY).map(wire::unescaped_text),
        remote: remote(headers)?,
        headers: wire::read_http_headers(headers, wire::HTTP_PREFIX),
        body,
        occurrence: wire::read_json(headers, OCCURRENCE)?,
        trace: wire::read_trace(headers),
    })
}

/// What a request says besides method, headers and body.
pub(super) struct RequestLine<'a> {
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) remote: Option<std::net::IpAddr>,
}

impl RequestLine<'_> {
    pub(super) fn add(&self, headers: &mut NatsHeaders) {
        if !self.path.is_empty() {
            headers.insert(PATH, wire::escape(self.path.as_bytes()));
        }
        if let Some(query) = self.query {
            headers.insert(QUERY, wire::escape(query.as_bytes()));
        }
        if let Some(remote) = self.remote {
            headers.insert(REMOTE, remote.to_string());
        }
    }
}

pub(super) fn remote(headers: &NatsHeaders) -> Result<Option<std::net::IpAddr>, Unreadable> {
    wire::text(headers, REMOTE).map(|_| wire::parsed(headers, REMOTE)).transpose()
}

/// JSON has no control characters, so it fits into a header; an empty list is left out.
fn insert_json<T: Serialize>(headers: &mut NatsHeaders, name: &'static str, list: &[T]) {
    if let (false, Ok(written)) = (list.is_empty(), serde_json::to_string(list)) {
        headers.insert(name, written);
    }
}

fn read_json<T: DeserializeOwned>(headers: &NatsHeaders, name: &'static str) -> Result<Vec<T>, Unreadable> {
    let list = wire::text(headers, name).map(serde_json::from_str).transpose();
    Ok(list.map_err(|error| format!("{name}: {error}"))?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, Method};
    use skep_protocol::{EventOccurrence, IgnoredRoute};
    use skep_trace::Context;
    use time::OffsetDateTime;

    use super::*;

    fn event() -> Event {
        let route = EventRoute {
            route: "deploy".parse().unwrap(),
            function: "deploy_dev".parse().unwrap(),
            path: Some("/own".to_owned()),
            headers: vec![("X-Env".to_owned(), "prod \"ü\"".to_owned())],
            body: None,
            delay_seconds: Some(3),
            debounce: None,
            in_bulk: true,
            retry: [("skep.retry.backoff".to_owned(), "fixed".to_owned())].into(),
            steps: Some(vec!["skep://next".parse().unwrap()]),
            callback: Some("https://example.com/".parse().unwrap()),
        };
        let ignored = IgnoredRoute { route: "audit".parse().unwrap(), reason: "body.ref is \"a\nb\"".to_owned() };
        Event {
            source: "github".parse().unwrap(),
            id: "delivery-1".parse().unwrap(),
            kind: "push".to_owned(),
            received_at: OffsetDateTime::UNIX_EPOCH + std::time::Duration::from_nanos(1_500_000_001),
            verified: "signature;key=2".parse().unwrap(),
            decision: Decision { routes: vec![route], ignored: vec![ignored], paused: false, is_routed_only: true },
            method: Method::PUT,
            path: "/a/ü".to_owned(),
            query: Some("b=c".to_owned()),
            remote: Some("192.0.2.1".parse().unwrap()),
            headers: HeaderMap::from_iter([(
                HeaderName::from_static("x-name"),
                HeaderValue::from_bytes("…\u{e9}".as_bytes()).unwrap(),
            )]),
            body: Bytes::from_static(b"{}"),
            occurrence: Some(EventOccurrence {
                planned_at: OffsetDateTime::UNIX_EPOCH.to_offset(time::UtcOffset::from_hms(1, 0, 0).unwrap()),
                missed: Some(3),
            }),
            trace: Context::of_texts("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Some("a=1")),
        }
    }

    fn again(event: &Event) -> Event {
        read_event("skep.event.github.delivery-1", &event_headers(event), event_body(event)).unwrap()
    }

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let event = event();
        assert_eq!(again(&event), event);
        let [route] = &event.decision.routes[..] else { panic!() };
        let own = |body: &'static [u8]| EventRoute { body: Some(Bytes::from_static(body)), ..route.clone() };
        let routes = vec![own(b"first"), route.clone(), own(b""), own(b"last")];
        let apart = Event { decision: Decision { routes, ..event.decision.clone() }, ..event.clone() };
        assert_eq!(again(&apart), apart);
        assert_eq!(read_event("skep.event.github.1", &event_headers(&apart), Bytes::new()).unwrap().body, "");
        let bare = Event {
            decision: Decision { paused: true, ..Decision::default() },
            path: String::new(),
            query: None,
            remote: None,
            kind: String::new(),
            occurrence: None,
            trace: None,
            headers: HeaderMap::new(),
            ..event
        };
        assert_eq!(again(&bare), bare);
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let event = event();
        let read = |subject: &str, headers: &NatsHeaders| read_event(subject, headers, Bytes::new());
        assert!(read("skep.event.Git.1", &event_headers(&event)).is_err());
        assert!(read("x", &event_headers(&event)).is_err());
        assert!(read("skep.event.github.1", &NatsHeaders::new()).is_err());
        let mut newer = event_headers(&event);
        newer.insert("Skep-Version", "2.0");
        assert!(read("skep.event.github.1", &newer).unwrap_err().contains("newer skep"));
        let mut broken = event_headers(&event);
        broken.insert(ROUTES, "[{");
        assert!(read("skep.event.github.1", &broken).is_err());
    }
}
