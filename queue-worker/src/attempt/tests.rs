//! What a function is sent, and what its answers mean, without a function.

use http::{HeaderName, Response};

use super::*;

fn call() -> Call {
    let mut headers = HeaderMap::new();
    headers.insert("x-size", HeaderValue::from_static("large"));
    headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
    Call {
        path: "/a%2Fb".to_owned(),
        query: Some("x=1".to_owned()),
        headers,
        body: bytes::Bytes::from_static(b"honey").into(),
        callback: Some("https://user:pass@example.com/x".parse().unwrap()),
        ..Call::new("order-17".parse().unwrap(), "resize".parse().unwrap(), skep_bus::now())
    }
}

fn parts(status: u16, headers: &[(&HeaderName, &str)]) -> Parts {
    let response = Response::builder().status(status);
    let response = headers.iter().fold(response, |response, (name, value)| response.header(*name, *value));
    response.body(()).unwrap().into_parts().0
}

async fn request_of(call: &Call) -> Request<Body> {
    let body = Body::from(call.body.in_message().clone());
    request(call, &Attempt::begin(2, 5), body).unwrap()
}

#[tokio::test]
async fn a_function_is_sent_what_its_caller_sent_and_which_attempt_it_is() {
    let request = request_of(&call()).await;
    assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), ("POST", "/a%2Fb?x=1"));
    let headers = request.headers();
    for (name, value) in [
        ("x-size", "large"),
        ("content-length", "5"),
        ("x-call-id", "order-17"),
        (headers::SKEP_ATTEMPT.as_str(), "2"),
        (headers::SKEP_ATTEMPTS.as_str(), "5"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert!(!headers.contains_key(header::EXPECT), "its body is there already");
    assert_eq!(headers[headers::CALLBACK_URL], "https://example.com/x", "it does not see the credentials");
}

#[tokio::test]
async fn a_call_without_a_path_asks_for_the_root() {
    let request = request_of(&Call { path: String::new(), query: None, ..call() }).await;
    assert_eq!(request.uri().to_string(), "/");
}

#[test]
fn only_the_watchdogs_own_word_is_taken_for_the_platforms() {
    let function: FunctionName = "resize".parse().unwrap();
    let judged =
        |status, headers: &[_]| of_platform(&function, &parts(status, headers)).map(|outcome| outcome.reason());
    let (internal, code) = (headers::OPENFAAS_INTERNAL, headers::SKEP_ERROR);
    let internal = (&internal, "fwatchdog");
    for status in [200, 429, 500, 502, 504] {
        assert_eq!(judged(status, &[]), None, "a function may answer {status}");
    }
    assert_eq!(judged(429, &[internal]).as_deref(), Some("no replica was free"));
    let failed = judged(502, &[internal, (&code, "broken_off")]).unwrap();
    assert!(failed.contains("resize") && failed.contains("broken_off"), "{failed}");
    // A function that ran too long has answered: 504 is its end.
    assert_eq!(judged(504, &[internal]), None);
}

#[test]
fn an_answer_decides_with_its_status_and_the_wait_that_it_asks_for() {
    let Parts { status, headers, .. } = parts(503, &[(&header::RETRY_AFTER, "7")]);
    let outcome = Outcome::Answered(Answer { status, headers, body: CallBody::empty(), reason: None });
    assert_eq!(outcome.ended(), Ended::Answered { status: 503, retry_after: Some(Duration::from_secs(7)) });
    assert_eq!((outcome.status(), outcome.reason().as_str()), (Some(503), "the function answered 503"));
    let busy = Outcome::Busy;
    assert_eq!((busy.ended(), busy.status()), (Ended::Busy, None));
    let failed = Outcome::Failed { reason: "no connection".to_owned() };
    assert_eq!((failed.ended(), failed.status()), (Ended::Failed { reason: "no connection" }, None));
}

#[test]
fn the_next_attempt_knows_the_one_before() {
    let outcome = Outcome::Failed { reason: "no connection".to_owned() };
    let first = Attempt::begin(1, 5).before(&call(), &outcome, Duration::from_secs(60));
    let next = Call { last_attempt: Some(first), ..call() };
    assert_eq!(next.attempts(), 1);
    let second = Attempt::begin(2, 5).before(&next, &outcome, Duration::from_secs(60));
    assert_eq!((second.number, second.past.len()), (2, 2));
    assert!(second.next_at > skep_bus::now());
}

#[test]
fn a_record_has_the_answer_and_which_attempt_it_came_from() {
    let Parts { status, headers, .. } = parts(201, &[(&HeaderName::from_static("x-made"), "1")]);
    let answer = Answer { status, headers, body: bytes::Bytes::from_static(b"wax").into(), reason: None };
    let record = Attempt::begin(2, 5).record(&call(), CallState::Succeeded, Some(answer));
    let status = &record.status;
    assert_eq!(
        (status.state, status.status, status.attempts, status.max_attempts),
        (CallState::Succeeded, Some(201), 2, Some(5))
    );
    assert!(status.started_at <= status.finished_at && status.reason.is_none());
    assert_eq!(
        (&record.headers["x-made"], &record.body.in_message()[..]),
        (&HeaderValue::from_static("1"), &b"wax"[..])
    );
}
