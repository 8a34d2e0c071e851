//! Messages as earlier versions have stored them: queued work must be read by every later version of the same major one.
//!
//! `crates/bus/fixtures` has one file for each, with its headers, an empty line, and its body. They are never changed, only added to.

use async_nats::HeaderMap as NatsHeaders;
use skep_protocol::CallState;

use super::*;

/// A stored message.
fn fixture(text: &'static str) -> (NatsHeaders, Bytes) {
    let (head, body) = text.split_once("\n\n").unwrap();
    let mut headers = NatsHeaders::new();
    for line in head.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        headers.append(name, value);
    }
    (headers, Bytes::from_static(body.as_bytes()))
}

macro_rules! fixture {
    ($name:literal) => {
        fixture(include_str!(concat!("../../fixtures/", $name, ".txt")))
    };
}

#[test]
fn a_queued_call_of_version_1_is_read() {
    let (headers, body) = fixture!("1.0-queued");
    let call = read_call(&headers, body).unwrap();
    assert_eq!((call.call_id.as_str(), call.function.to_string().as_str()), ("order-17", "resize.dev"));
    assert_eq!((call.method, call.path.as_str(), call.query.as_deref()), (Method::PUT, "/a%2Fb", Some("x=1")));
    assert_eq!(call.headers.get_all("x-many").iter().map(HeaderValue::as_bytes).collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(call.headers["x-latin"].as_bytes(), b"caf\xe9");
    assert_eq!((call.callback.unwrap().as_str(), call.callback_authorized), ("https://user:pass@example.com/x", true));
    assert!(call.has_callers_id && call.fingerprint.is_some());
    assert_eq!(call.accepted_at.unix_timestamp(), 1_700_000_000);
    assert_eq!((&call.body.in_message()[..], call.interruptions), (&b"honey"[..], 0));
    assert!(call.run_at.is_none() && call.last_attempt.is_none() && call.history.is_empty());
}

#[test]
fn a_call_of_version_1_that_waits_for_its_next_attempt_is_read() {
    let (headers, body) = fixture!("1.0-retrying");
    let call = read_call(&headers, body).unwrap();
    let last = call.last_attempt.as_ref().unwrap();
    assert_eq!((call.attempts(), call.interruptions, last.status), (3, 2, Some(503)));
    assert_eq!(last.reason, "the function answered 503");
    assert_eq!((last.next_at.unix_timestamp(), last.past.len(), call.history.len()), (1_700_000_100, 1, 1));
    assert_eq!(call.run_at.unwrap().unix_timestamp(), 1_700_000_090);
    assert_eq!(call.body.stored().unwrap().length, 5_000_000);
    assert_eq!(text(&headers, PARKED), Some("retry"));
}

#[test]
fn a_record_of_version_1_is_read() {
    let (headers, body) = fixture!("1.0-record");
    let record = read_record(&headers, body).unwrap();
    let status = &record.status;
    assert_eq!((status.state, status.status, status.attempts), (CallState::Failed, Some(500), 2));
    assert_eq!((status.call_id.as_str(), status.function.as_str()), ("order-17", "resize.dev"));
    assert_eq!(record.headers["content-type"], "text/plain");
    assert_eq!((record.returned["x-order"].as_bytes(), &record.body.in_message()[..]), (&b"7"[..], &b"sorry"[..]));
}

#[test]
fn what_is_written_has_the_headers_of_the_fixtures() {
    // A header that goes, or is renamed, breaks work that is queued: add a new fixture and a new version instead.
    let names = |headers: &NatsHeaders| {
        let mut names: Vec<_> = headers.iter().map(|(name, _)| AsRef::<str>::as_ref(name).to_owned()).collect();
        names.sort();
        names
    };
    for (stored, body) in [fixture!("1.0-queued"), fixture!("1.0-retrying")] {
        let mut written = call_headers(&read_call(&stored, body).unwrap());
        if let Some(parked) = text(&stored, PARKED) {
            written.insert(PARKED, parked);
        }
        assert_eq!(names(&written), names(&stored));
    }
    let (stored, body) = fixture!("1.0-record");
    assert_eq!(names(&record_headers(&read_record(&stored, body).unwrap()).unwrap()), names(&stored));
}

#[test]
fn a_message_of_a_newer_major_version_is_refused_with_a_reason() {
    for (mut headers, body) in [fixture!("1.0-queued"), fixture!("1.0-record")] {
        headers.insert("Skep-Version", "2.0");
        let refused = [
            read_call(&headers, body.clone()).map(drop).unwrap_err(),
            read_record(&headers, body.clone()).map(drop).unwrap_err(),
        ];
        assert!(refused.iter().all(|reason| reason.contains("version 2.0")), "{refused:?}");
        headers.insert("Skep-Version", "1.9");
        headers.insert("Skep-Of-The-Future", "x");
        assert!(read_call(&headers, body.clone()).is_ok() || read_record(&headers, body).is_ok());
    }
}
