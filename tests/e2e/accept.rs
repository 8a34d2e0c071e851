//! Queueing a call: what is promised with a 202, and what is refused at the door.

use http::Method;
use serde_json::Value;

use crate::harness::{Answer, Function, Platform, answer_to, raw, wait_until};

#[tokio::test]
async fn a_call_is_accepted_and_its_answer_kept() {
    let platform = Platform::start([Function::cat()]).await;
    let answer = answer_to(platform.gateway.post("/async-function/cat").body("later")).await;
    assert_eq!((answer.status, answer.body.len()), (202, 0), "{answer:?}");
    let id = answer.header("x-call-id").to_owned();
    assert_eq!(answer.header("location"), format!("/system/calls/{id}"));
    assert!(answer.header("x-start-time").parse::<u64>().is_ok(), "{answer:?}");
    assert_eq!(answer.header("x-skep-duplicate"), "");

    let status = platform.gateway.finished(&id).await;
    assert_eq!((&status["state"], &status["status"]), (&"succeeded".into(), &200.into()));
    assert_eq!((&status["callId"], &status["function"]), (&id.clone().into(), &"cat".into()));
    assert_eq!(status["attempts"], 1);
    for time in ["acceptedAt", "startedAt", "finishedAt"] {
        assert!(status[time].as_str().is_some_and(|time| time.contains('T')), "{time}: {status}");
    }
    let result = platform.gateway.result(&id).await;
    assert_eq!((result.status, result.text().as_str(), result.header("x-function-status")), (200, "later", "200"));
}

#[tokio::test]
async fn what_cannot_be_queued_is_refused_at_the_door() {
    let platform = Platform::start([Function::cat()]).await;
    let post = |path: &str| platform.gateway.post(path).body("x");
    for (path, status) in [
        ("/async-function/unknown", 404),
        ("/async-function/cat.elsewhere", 404),
        ("/async-function/", 404),
        ("/async-function/No", 400),
    ] {
        answer_to(post(path)).await.assert_refused(status);
    }
    for callback in ["/relative", "example.com", "ftp://a/", "http://", "javascript:alert(1)", "http:a", "::"] {
        let answer = answer_to(post("/async-function/cat").header("X-Callback-Url", callback)).await;
        answer.assert_refused(400);
        assert!(answer.text().contains("X-Callback-Url"), "{callback}: {}", answer.text());
    }
    let long = "x".repeat(129);
    for id in ["a.b", "a b", "*", ">", long.as_str()] {
        platform.gateway.queue_as(id, "cat", "x").await.assert_refused(400);
    }
    for verb in [Method::GET, Method::PUT, Method::PATCH] {
        answer_to(platform.gateway.request(verb, "/async-function/cat")).await.assert_refused(405);
    }
    let accepted = platform.gateway.queue("cat.openfaas-fn", "x").await;
    assert_eq!(platform.gateway.finished(&accepted).await["function"], "cat");
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_names_the_setting() {
    let platform = Platform::start_with(&["--async-body-limit", "1000"], [Function::cat()]).await;
    let fits = platform.gateway.queue("cat", vec![b'x'; 1000]).await;
    assert_eq!(platform.gateway.finished(&fits).await["state"], "succeeded");
    let known = answer_to(platform.gateway.post("/async-function/cat").body(vec![b'x'; 1001])).await;
    let pieces = futures_util::stream::iter((0..101).map(|_| Ok::<_, std::io::Error>("0123456789")));
    let chunked = platform.gateway.post("/async-function/cat").body(reqwest::Body::wrap_stream(pieces));
    for answer in [known, answer_to(chunked).await] {
        answer.assert_refused(413);
        let text = answer.text();
        assert!(text.contains("1000") && text.contains("SKEP_ASYNC_BODY_LIMIT"), "{text}");
    }
    // A synchronous call is streamed and has no such limit.
    assert_eq!(platform.gateway.call("cat", vec![b'x'; 1001]).await.status, 200);
}

#[tokio::test]
async fn the_largest_body_that_fits_into_a_message_is_run() {
    let platform = Platform::start([Function::new("count", "wc -c")]).await;
    let largest = vec![0_u8; 7 * 1024 * 1024];
    let id = platform.gateway.queue("count", largest).await;
    assert_eq!(platform.gateway.finished(&id).await["state"], "succeeded");
    assert_eq!(platform.gateway.result(&id).await.text().trim(), (7 * 1024 * 1024).to_string());
    // What is announced as too large is refused before it is sent.
    let head = "POST /async-function/count HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000000\r\n\r\n";
    let answer = raw::exchange(platform.site.listen, head).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("SKEP_ASYNC_BODY_LIMIT"), "{answer}");
}

#[tokio::test]
async fn the_same_call_id_runs_once() {
    let platform = Platform::start([Function::gated()]).await;
    let submit = async || platform.gateway.queue_as("order-17", "gated", "once").await;
    platform.gateway.scale("gated", 0).await;
    platform.gateway.wait_for_replicas("gated", 0).await;
    let first = submit().await;
    assert_eq!((first.status, first.header("x-skep-duplicate")), (202, ""));
    let is_duplicate = |answer: &Answer| {
        assert_eq!((answer.status, answer.header("x-skep-duplicate")), (202, "true"), "{answer:?}");
        assert_eq!(answer.header("x-call-id"), "order-17");
        assert_eq!(answer.header("location"), "/system/calls/order-17");
    };
    platform.gateway.state("order-17", "queued").await;
    is_duplicate(&submit().await);

    platform.gateway.scale("gated", 1).await;
    platform.gateway.state("order-17", "running").await;
    is_duplicate(&submit().await);

    platform.site.open_gate();
    platform.gateway.finished("order-17").await;
    is_duplicate(&submit().await);
    // Once more when the finished message is gone from the stream.
    let stream = crate::nats::stream(&platform.site, "SKEP_INVOKE").await;
    wait_until("the finished call is purged", async || stream.get_info().await.unwrap().state.messages == 0).await;
    is_duplicate(&submit().await);
    let other = platform.gateway.queue("gated", "another").await;
    platform.gateway.finished(&other).await;
    assert_eq!(platform.site.runs(), ["order-17".to_owned(), other]);
}

#[tokio::test]
async fn a_queued_call_reaches_the_function_as_a_post_with_path_query_and_headers() {
    let platform = Platform::start([Function::echo_http()]).await;
    let request = platform.gateway.post("/async-function/echo/a%2Fb//c?x=%20&y");
    let request = request.header("X-Shade", "blue").header("Content-Type", "text/csv").header("Connection", "X-Hop");
    let answer = answer_to(request.header("X-Hop", "1").header("X-Latin", &b"caf\xe9"[..]).body("a,b")).await;
    let id = answer.header("x-call-id").to_owned();
    platform.gateway.finished(&id).await;
    let seen = platform.gateway.result(&id).await.json();
    assert_eq!(
        (&seen["method"], &seen["path"], &seen["body"]),
        (&"POST".into(), &"/a%2Fb//c?x=%20&y".into(), &"a,b".into())
    );
    let header = |wanted: &str| {
        let headers = seen["headers"].as_object().unwrap();
        headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).and_then(|(_, value)| Value::as_str(value))
    };
    assert_eq!(
        (header("x-shade"), header("content-type"), header("content-length")),
        (Some("blue"), Some("text/csv"), Some("3"))
    );
    assert_eq!((header("x-call-id"), header("x-hop"), header("x-latin")), (Some(id.as_str()), None, Some("caf\u{e9}")));
    let times: Vec<u64> = header("x-start-time").unwrap().split(", ").map(|time| time.parse().unwrap()).collect();
    assert!(times.len() == 2 && times[0] <= times[1], "enqueue time, then dispatch time: {times:?}");
    assert_eq!(times[0].to_string(), answer.header("x-start-time"));
}
