//! What a redrive makes of a dead letter, and what it does about the call that it finds.

use skep_protocol::{CallId, DeadLetterInfo};
use time::Duration;

use super::*;
use crate::NewDeadLetter;

fn died() -> Call {
    let mut headers = HeaderMap::new();
    headers.insert("x-size", HeaderValue::from_static("large"));
    Call {
        path: "/a".to_owned(),
        query: Some("x=1".to_owned()),
        headers,
        body: Bytes::from_static(b"honey").into(),
        interruptions: 3,
        ..Call::new("order-17".parse().unwrap(), "resize".parse().unwrap(), clock::now() - Duration::DAY)
    }
}

/// The dead letter of a message.
fn letter(function: &str, headers: &NatsHeaders, body: &'static [u8]) -> DeadLetter {
    let call_id: CallId = "order-17".parse().unwrap();
    let new = NewDeadLetter {
        kind: DeadKind::Call,
        function,
        call_id: &call_id,
        reason: "the function answered 500",
        attempts: 3,
        last_status: Some(500),
        last_answer: b"sorry",
        headers,
        payload: &Bytes::from_static(body),
    };
    let (headers, body) = new.message(1 << 20);
    let info = DeadLetterInfo {
        call_id: call_id.clone(),
        function: function.to_owned(),
        kind: DeadKind::Call,
        reason: "the function answered 500".to_owned(),
        attempts: 3,
        last_status: Some(500),
        dead_at: clock::now(),
        sequence: 7,
    };
    DeadLetter { info, body, headers }
}

fn redriven(letter: &DeadLetter) -> Result<Call, String> {
    call_of(letter, &DefaultNamespace::default())
}

#[test]
fn a_dead_call_is_sent_as_it_was_with_its_end_in_its_history() {
    let died = died();
    let call = redriven(&letter("resize", &wire::call_headers(&died), b"honey")).unwrap();
    let request = |call: &Call| (call.path.clone(), call.query.clone(), call.headers.clone(), call.body.clone());
    assert_eq!(request(&call), request(&died));
    assert_eq!((call.call_id.as_str(), call.attempts(), call.interruptions), ("order-17", 0, 0));
    // The id is known, so it is looked up before it is stored.
    assert!(call.has_callers_id);
    assert_eq!(call.history.iter().map(|end| end.reason.as_str()).collect::<Vec<_>>(), ["the function answered 500"]);
    // Its age counts from now on, or it would be too old at once.
    assert!(call.age(clock::now()) < std::time::Duration::from_secs(3600));
}

#[test]
fn a_call_remembers_its_last_ends_only() {
    let history = vec![letter("resize", &NatsHeaders::new(), b"").info.past(); 2 * MAX_ENDS];
    let died = Call { history, ..died() };
    let call = redriven(&letter("resize", &wire::call_headers(&died), b"honey")).unwrap();
    assert_eq!(call.history.len(), MAX_ENDS);
}

#[test]
fn published_work_that_never_became_a_call_is_sent_as_one() {
    let mut headers = NatsHeaders::new();
    headers.insert("X-Callback-Url", "https://example.com/");
    headers.insert("Nats-Msg-Id", "of-the-publisher");
    let call = redriven(&letter("resize", &headers, b"honey")).unwrap();
    assert_eq!((call.function.as_str(), &call.body.in_message()[..]), ("resize", &b"honey"[..]));
    assert_eq!(call.callback.unwrap().as_str(), "https://example.com/");
    let names: Vec<_> = call.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("skep-")).count(), 0, "{names:?}");
}

#[test]
fn what_cannot_be_sent_has_a_reason() {
    assert!(redriven(&letter("No Name", &NatsHeaders::new(), b"")).is_err());
    let mut cut = letter("resize", &wire::call_headers(&died()), b"honey");
    cut.headers.insert(wire::LEFT_OUT, "headers");
    assert!(redriven(&cut).unwrap_err().contains("did not fit"));
}

#[test]
fn a_request_is_changed_only_where_it_is_edited() {
    let name = HeaderName::from_static("x-size");
    let edit = Edit {
        body: Some(Bytes::from_static(b"wax")),
        query: Some(String::new()),
        headers: vec![(name.clone(), None), (HeaderName::from_static("x-new"), Some(HeaderValue::from_static("1")))],
        ..Edit::default()
    };
    let edited = edit.apply(died());
    assert_eq!((&edited.body.in_message()[..], edited.path.as_str(), edited.query), (&b"wax"[..], "/a", None));
    assert!(!edited.headers.contains_key(name) && edited.headers["x-new"] == "1");
    assert_eq!(Edit::default().apply(died()).query.as_deref(), Some("x=1"));
}

#[test]
fn a_dead_call_is_sent_and_any_other_is_left_alone() {
    for waits in [false, true] {
        assert_eq!(plan(Some(CallState::Dead), waits), Plan::Send);
        for state in [CallState::Succeeded, CallState::Failed, CallState::Cancelled] {
            assert_eq!(plan(Some(state), waits), Plan::Leave(state));
        }
    }
    // Its record has gone with its time, or an earlier redrive has removed it.
    assert_eq!((plan(None, false), plan(None, true)), (Plan::Send, Plan::Compare));
}
