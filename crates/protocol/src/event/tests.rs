use std::time::Duration;

use super::*;
use crate::RouteName;

fn route(name: &str) -> EventRoute {
    EventRoute {
        route: name.parse().unwrap(),
        function: "deploy".parse().unwrap(),
        path: None,
        headers: Vec::new(),
        body: None,
        delay_seconds: None,
        in_bulk: false,
        debounce: None,
        retry: BTreeMap::new(),
        callback: None,
        steps: None,
    }
}

fn event() -> Event {
    Event {
        source: "github".parse().unwrap(),
        id: "delivery-1".parse().unwrap(),
        kind: "push".to_owned(),
        received_at: OffsetDateTime::UNIX_EPOCH,
        verified: "signature;key=2".parse().unwrap(),
        decision: Decision { routes: vec![route("deploy")], ..Decision::default() },
        method: Method::POST,
        path: "/a".to_owned(),
        query: Some("b=c".to_owned()),
        remote: None,
        headers: HeaderMap::from_iter(
            [("x-github-event", "push"), ("x-topic", "forged"), ("x-skep-replay", "forged")]
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))),
        ),
        body: Bytes::from_static(b"{}"),
        occurrence: None,
        trace: None,
    }
}

#[test]
fn a_call_has_the_senders_headers_and_what_skep_tells_of_the_event() {
    let event = event();
    let call = event.call(&route("deploy"), None, OffsetDateTime::UNIX_EPOCH);
    let header = |name: &str| call.headers.get(name).map(|value| value.to_str().unwrap());
    for (name, expected) in [
        ("x-github-event", "push"),
        ("x-skep-source", "github"),
        ("x-skep-event-id", "delivery-1"),
        ("x-skep-event-type", "push"),
        ("x-skep-received-at", "1970-01-01T00:00:00Z"),
        ("x-skep-verified", "signature"),
        ("x-skep-route", "deploy"),
        ("x-topic", "github.push"),
        ("x-skep-hops", "0"),
        ("x-connector", "skep"),
        ("x-call-id", call.call_id.as_str()),
    ] {
        assert_eq!(header(name), Some(expected), "{name}");
    }
    assert_eq!((header("x-skep-replay"), &call.path, call.query.as_deref()), (None, &"/a".to_owned(), Some("b=c")));
    assert!(call.has_callers_id && call.fingerprint.is_some() && call.run_at.is_none());
    let bare = Event { kind: String::new(), ..event };
    let again = bare.call(&route("deploy"), Some("again-1"), OffsetDateTime::UNIX_EPOCH);
    let headers = ["x-skep-replay", "x-topic", "x-skep-event-type"].map(|name| again.headers.get(name));
    assert_eq!(
        headers.map(|value| value.map(|value| value.to_str().unwrap())),
        [Some("again-1"), Some("github"), None]
    );
}

#[test]
fn a_route_has_its_own_path_headers_and_delay() {
    let event = event();
    let mut own = EventRoute {
        path: Some("/own".to_owned()),
        headers: vec![("X-Env".to_owned(), "prod".to_owned()), ("bad name".to_owned(), String::new())],
        delay_seconds: Some(30),
        body: Some(Bytes::from_static(b"a part")),
        ..route("deploy")
    };
    let latin = HeaderValue::from_bytes(b"\xe9").unwrap();
    own.add_header(&HeaderName::from_static("x-latin"), &latin);
    let call = event.call(&own, Some("again"), OffsetDateTime::UNIX_EPOCH);
    assert_eq!(
        (call.path.as_str(), &call.headers["x-env"], &call.headers["x-skep-replay"]),
        ("/own", &value("prod"), &value("again"))
    );
    assert_eq!((&call.headers["x-latin"], call.body.in_message()), (&latin, &Bytes::from_static(b"a part")));
    assert_eq!(call.run_at, Some(OffsetDateTime::UNIX_EPOCH + Duration::from_secs(30)));
}

#[test]
fn each_route_and_each_replay_has_one_call_and_no_other_event_shares_it() {
    let (event, deploy): (_, RouteName) = (event(), "deploy".parse().unwrap());
    let id = event.call_id(&deploy, None);
    assert_eq!(id, event.call_id(&deploy, None));
    assert!(id.as_str().starts_with("ev-github-"), "{id}");
    assert_ne!(id, event.call_id(&deploy, Some("again")));
    assert_ne!(id, event.call_id(&"other".parse().unwrap(), None));
    let later = Event { received_at: event.received_at + Duration::from_secs(1), ..event.clone() };
    let elsewhere = Event { source: "gitlab".parse().unwrap(), ..event };
    assert_ne!(id, later.call_id(&deploy, None));
    assert_ne!(id, elsewhere.call_id(&deploy, None));
}

#[test]
fn an_event_whose_calls_would_not_fit_is_found_before_it_is_stored() {
    let mut event = event();
    assert!(event.check_calls().is_ok());
    for number in 0..crate::MAX_HEADERS - 5 {
        event.headers.insert(HeaderName::try_from(format!("x-{number}")).unwrap(), value("1"));
    }
    assert!(event.check_calls().is_err());
}

#[test]
fn a_verdict_is_read_as_it_is_written() {
    for text in ["signature;key=1", "token;key=old", "none", "released", "forced", "test"] {
        assert_eq!(text.parse::<Verified>().unwrap().to_string(), text);
    }
    assert!("Signature".parse::<Verified>().is_err() && "".parse::<Verified>().is_err());
}

#[test]
fn a_decision_without_routes_is_ignored_and_a_paused_one_is_paused() {
    let routed = event().decision;
    assert_eq!(routed.outcome(), EventOutcome::Routed);
    assert_eq!(Decision::default().outcome(), EventOutcome::Ignored);
    assert_eq!(Decision { paused: true, ..routed }.outcome(), EventOutcome::Paused);
}
