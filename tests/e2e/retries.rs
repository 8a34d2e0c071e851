//! Attempts that fail, and the next ones.

use http::Method;
use serde_json::Value;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::harness::{Function, Platform, Receiver, Roles, answer_to, wait_until};

fn time(status: &Value, name: &str) -> OffsetDateTime {
    OffsetDateTime::parse(status[name].as_str().unwrap_or_else(|| panic!("{name}: {status}")), &Rfc3339).unwrap()
}

/// An HTTP answer for the function `upstream/verbatim`.
fn verbatim(status: u16, headers: &str) -> String {
    format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: 5\r\n\r\nsorry")
}

#[tokio::test]
async fn an_attempt_that_fails_is_followed_by_another_until_one_succeeds() {
    let platform = Platform::start([Function::failing().attempts(500)]).await;
    let id = platform.gateway.queue("failing", "x").await;
    let retrying = platform.gateway.state(&id, "retrying").await;
    assert_eq!((&retrying["status"], &retrying["reason"]), (&500.into(), &"the function answered 500".into()));
    assert!(time(&retrying, "nextAttemptAt") > time(&retrying, "acceptedAt"), "{retrying}");
    platform.site.wait_for_runs(3).await;
    platform.site.open_gate();
    let status = platform.gateway.finished(&id).await;
    let runs = platform.site.runs();
    assert_eq!((&status["state"], &status["attempts"]), (&"succeeded".into(), &runs.len().into()), "{status}");
    let numbered: Vec<String> = (1..=runs.len()).map(|number| format!("{number}/500")).collect();
    assert_eq!(runs, numbered, "each attempt knows its number and how many there are");
    assert_eq!(platform.gateway.result(&id).await.text(), "x");
}

#[tokio::test]
async fn a_call_whose_last_attempt_fails_is_dead_and_its_answer_is_kept() {
    let platform = Platform::start([Function::failing().attempts(3)]).await;
    let receiver = Receiver::start().await;
    let request = platform.gateway.post("/async-function/failing").header("X-Callback-Url", &receiver.url);
    let id = answer_to(request.body("kept")).await.header("x-call-id").to_owned();
    let callback = receiver.wait_for(1).await.remove(0);
    assert_eq!((callback.header("x-retry"), callback.header("x-retry-max")), ("2", "2"));
    assert_eq!((callback.header("x-function-status"), callback.header("x-skep-error")), ("500", "dead"));
    assert!(String::from_utf8_lossy(&callback.body).contains("sorry"), "{callback:?}");

    let status = platform.gateway.finished(&id).await;
    assert_eq!((&status["state"], &status["status"], &status["attempts"]), (&"dead".into(), &500.into(), &3.into()));
    assert_eq!(status["reason"], "the function answered 500 (attempt 3 of 3)");
    let result = platform.gateway.result(&id).await;
    assert_eq!((result.status, result.header("x-function-status")), (200, "500"));
    assert!(result.text().contains("sorry"), "{result:?}");
    assert_eq!(platform.site.runs(), ["1/3", "2/3", "3/3"]);

    let stream = crate::nats::stream(&platform.site, "SKEP_DEAD").await;
    let letter = stream.get_last_raw_message_by_subject(&format!("skep.dead.failing.{id}")).await.unwrap();
    let header = |name: &str| letter.headers.get(name).map(|value| value.as_str().to_owned()).unwrap_or_default();
    assert_eq!((&letter.payload[..], header("Skep-Attempts").as_str()), (&b"kept"[..], "3"));
    assert_eq!(header("Skep-Last-Status"), "500");
}

#[tokio::test]
async fn a_status_that_is_not_among_the_codes_is_final() {
    let policy = |function: Function| function.attempts(500).annotation("com.openfaas.retry.codes", "502,503");
    let platform = Platform::start([policy(Function::upstream())]).await;
    for (status, state) in [(404, "failed"), (500, "failed"), (503, "retrying")] {
        let id = platform.gateway.queue("upstream/verbatim", verbatim(status, "")).await;
        let found = platform.gateway.state(&id, state).await;
        assert_eq!(found["status"], status, "{found}");
    }
}

#[tokio::test]
async fn retry_after_is_honoured_in_seconds_and_as_a_date() {
    let platform = Platform::start([Function::upstream()]).await;
    let in_an_hour = OffsetDateTime::now_utc() + Duration::HOUR;
    let date = httpdate::fmt_http_date(in_an_hour.into());
    for asked in ["3600".to_owned(), date] {
        let answer = verbatim(429, &format!("Retry-After: {asked}\r\n"));
        let id = platform.gateway.queue("upstream/verbatim", answer).await;
        let status = platform.gateway.state(&id, "retrying").await;
        let next = time(&status, "nextAttemptAt");
        assert!(next >= in_an_hour - Duration::SECOND && next < in_an_hour + Duration::HOUR, "{status}");
        assert_eq!(status["attempts"], 1);
    }
}

#[tokio::test]
async fn a_call_that_would_get_too_old_is_dead() {
    let function = Function::failing().attempts(500).annotation("skep.retry.max_age", "1s");
    let platform = Platform::start([function]).await;
    let id = platform.gateway.queue("failing", "x").await;
    let status = platform.gateway.finished(&id).await;
    assert_eq!(status["state"], "dead");
    assert!(status["reason"].as_str().unwrap().contains("skep.retry.max_age"), "{status}");
}

#[tokio::test]
async fn a_bad_policy_is_refused_and_named() {
    let platform = Platform::start([]).await;
    for (name, value) in [
        ("com.openfaas.retry.attempts", "0"),
        ("com.openfaas.retry.codes", "5xx"),
        ("com.openfaas.retry.min_wait", "soon"),
        ("com.openfaas.retry.max_wait", "-1s"),
        ("skep.retry.backoff", "linear"),
        ("skep.retry.max_age", "0s"),
    ] {
        let body = Function::cat().annotation(name, value).deployment(platform.site.folder());
        let answer = platform.gateway.send(Method::POST, "/system/functions", &body).await;
        answer.assert_refused(400);
        assert!(answer.text().contains(name), "{answer:?}");
    }
    assert!(platform.gateway.function("cat").await.is_none(), "nothing was deployed");
}

#[tokio::test]
async fn a_retry_survives_the_worker_and_pins_nothing() {
    let long = Function::failing().attempts(2).annotation("com.openfaas.retry.min_wait", "10s");
    let mut roles = Roles::start([long, Function::cat()]).await;
    let id = roles.gateway.queue("failing", "x").await;
    roles.gateway.state(&id, "retrying").await;
    roles.site.open_gate();
    let other = roles.gateway.queue("cat", "x").await;
    roles.gateway.finished(&other).await;
    roles.worker.kill();
    roles.worker = roles.site.start_worker().await;
    let status = roles.gateway.finished(&id).await;
    assert_eq!((&status["state"], &status["attempts"]), (&"succeeded".into(), &2.into()), "{status}");
    assert_eq!(roles.site.runs(), ["1/2", "2/2"]);
}

#[tokio::test]
async fn what_waits_leaves_the_queue_empty() {
    let long =
        Function::failing().annotation("com.openfaas.retry.min_wait", "1h").annotation("skep.retry.backoff", "fixed");
    let platform = Platform::start([long, Function::cat()]).await;
    let id = platform.gateway.queue("failing", "x").await;
    let later = platform.gateway.queue_later("cat", "1h").await;
    platform.gateway.state(&id, "retrying").await;
    for _ in 0..20 {
        let finished = platform.gateway.queue("cat", "x").await;
        platform.gateway.finished(&finished).await;
    }
    let stream = crate::nats::stream(&platform.site, "SKEP_INVOKE").await;
    wait_until("all is purged", async || stream.get_info().await.unwrap().state.messages == 0).await;
    for (id, state) in [(id, "retrying"), (later, "scheduled")] {
        assert_eq!(platform.gateway.call_status(&id).await.unwrap()["state"], state);
    }
}
