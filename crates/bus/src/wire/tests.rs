//! What is written as a message is read as what it was.

use skep_protocol::{BodyKey, BodyKind, CallId, CallState, PastAttempt, PastEnd};
use skep_trace::Context;

use super::*;

/// A call with everything that a call can have.
fn whole_call(headers: HeaderMap) -> Call {
    Call {
        method: Method::PUT,
        path: "/a%2Fb".to_owned(),
        query: Some("x=1".to_owned()),
        headers,
        body: Bytes::from_static(b"\x00\xff").into(),
        callback: Some("https://user:pass@example.com/x".parse().unwrap()),
        steps: Some(vec!["skep://next/a".parse().unwrap()]),
        callback_authorized: true,
        has_callers_id: true,
        fingerprint: Some(Fingerprint::from_text("ab12")),
        run_at: Some(OffsetDateTime::from_unix_timestamp(1_700_000_090).unwrap()),
        burst: Some("github.0123abcd".parse().unwrap()),
        retry: [("skep.retry.backoff".to_owned(), "fixed".to_owned())].into(),
        interruptions: 2,
        last_attempt: Some(LastAttempt {
            number: 3,
            status: Some(503),
            reason: "the function answered 503".to_owned(),
            next_at: OffsetDateTime::from_unix_timestamp(1_700_000_100).unwrap(),
            past: vec![PastAttempt {
                number: 3,
                started_at: OffsetDateTime::UNIX_EPOCH,
                duration_seconds: 0.25,
                replica: Some("figlet-1".to_owned()),
                status: Some(503),
                reason: "the function answered 503".to_owned(),
                next_at: OffsetDateTime::UNIX_EPOCH,
            }],
        }),
        history: vec![PastEnd {
            dead_at: OffsetDateTime::UNIX_EPOCH,
            reason: "ü".to_owned(),
            attempts: 1,
            last_status: None,
        }],
        trace: Context::of_texts("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Some("a=1,b=2")),
        ..Call::new(
            CallId::generate(),
            "figlet".parse().unwrap(),
            OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap(),
        )
    }
}

#[test]
fn a_call_survives_the_bus() {
    let mut headers = HeaderMap::new();
    headers.extend(["1", "2"].map(|one| (HeaderName::from_static("x-many"), HeaderValue::from_static(one))));
    headers.append("x-latin", HeaderValue::from_bytes(b"caf\xe9").unwrap());
    headers.append("nats-msg-id", HeaderValue::from_static("mine"));
    headers.append("traceparent", HeaderValue::from_static("a stranger's"));
    let call = whole_call(headers);
    let written = call_headers(&call);
    assert!(written.get("nats-msg-id").is_none(), "a caller must not set the server's headers");
    assert_eq!(written.get_all("traceparent").count(), 1, "a caller must not have the server trace anything");
    let read = read_call(&written, call.body.in_message().clone()).unwrap();
    assert_eq!(read.headers, call.headers);
    // What is left has one order only.
    let rest = |call: Call| format!("{:?}", Call { headers: HeaderMap::new(), ..call });
    assert_eq!(rest(read), rest(call));
}

#[test]
fn a_trace_is_read_whatever_the_case_of_its_headers_and_left_out_if_it_is_malformed() {
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (name, value, is_read) in [
        ("traceparent", given, true),
        ("Traceparent", given, true),
        ("TRACEPARENT", given, true),
        ("traceparent", "x", false),
    ] {
        let mut headers = NatsHeaders::new();
        headers.insert(name, value);
        assert_eq!(
            read_trace(&headers).map(|trace| trace.traceparent()).as_deref(),
            is_read.then_some(given),
            "{name}"
        );
    }
}

#[test]
fn a_record_survives_the_bus() {
    let record = CallRecord {
        status: CallStatus {
            state: CallState::Failed,
            status: Some(500),
            attempts: 2,
            finished_at: Some(OffsetDateTime::UNIX_EPOCH),
            duration_seconds: Some(0.5),
            replica: Some("figlet-1".to_owned()),
            reason: Some("line one\nline two".to_owned()),
            trace: Context::of_texts("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Some("a=1")),
            ..CallStatus::accepted(CallId::generate(), "figlet", OffsetDateTime::UNIX_EPOCH)
        },
        headers: HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))]),
        body: StoredBody { key: BodyKey::generate(BodyKind::Result, CallId::generate()), length: 7 }.into(),
        returned: HeaderMap::from_iter([(http::header::FROM, HeaderValue::from_static("bee"))]),
    };
    let headers = record_headers(&record).unwrap();
    assert_eq!(read_record(&headers, record.body.in_message().clone()).unwrap(), record);
}

proptest::proptest! {
    #[test]
    fn any_headers_survive_the_bus(
        names in proptest::collection::vec("(nats-|http-|skep-|x-)?[a-z]{1,4}", 0..6),
        values in proptest::collection::vec(proptest::collection::vec(0x20_u8..=0xff, 0..9), 6),
        path in "(/\\PC{0,8})?",
        query in proptest::option::of("\\PC{0,8}"),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in names.iter().zip(values) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(name.parse::<HeaderName>().unwrap(), value);
            }
        }
        laws::hold(headers, &path, query.as_deref());
    }
}

#[test]
fn plain_headers_have_the_usual_case() {
    let mut headers = HeaderMap::new();
    headers.insert("x-call-id", HeaderValue::from_static("1"));
    assert_eq!(plain_headers(&headers).get("X-Call-Id").unwrap().as_str(), "1");
}

#[test]
fn a_message_that_lacks_something_says_what() {
    let error = read_call(&NatsHeaders::new(), Bytes::new()).unwrap_err();
    assert_eq!(error, "header Skep-Call-Id is missing");
}
