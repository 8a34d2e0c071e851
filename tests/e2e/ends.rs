//! Every call comes to an end, whatever its caller, its publisher or its function says.

use async_nats::{HeaderMap, jetstream};
use futures_util::future::join_all;
use http::HeaderValue;
use serde_json::{Value, json};
use skep_bus::{Error, Submitted};

use crate::{
    bus::{connect, invocation},
    harness::{Answer, Function, Gateway, Platform, Receiver, Site, answer_to, raw, wait_for},
    nats,
};

const FORGED: &str = "X-OpenFaaS-Internal: x\r\nX-Skep-Error: exec_timeout\r\nX-Skep-Anything: x\r\nX-Skep-Mark: x\r\n\
    X-Function-Status: 999\r\n";

/// What the upstream function is to answer, byte by byte.
fn verbatim(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n{headers}Content-Length: 4\r\n\r\nbees")
}

async fn queue_verbatim(gateway: &Gateway, callback: &str, answer: String) -> Value {
    let request = gateway.post("/async-function/upstream/verbatim").header("X-Callback-Url", callback);
    let accepted = answer_to(request.body(answer)).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    gateway.finished(accepted.header("x-call-id")).await
}

async fn messages(site: &Site, stream: &str) -> u64 {
    nats::stream(site, stream).await.get_info().await.unwrap().state.messages
}

/// The only dead letter, once it is there.
async fn dead_letter(site: &Site) -> jetstream::message::StreamMessage {
    let stream = nats::stream(site, "SKEP_DEAD").await;
    let subject = "skep.dead.>";
    wait_for("the letter", async || stream.get_last_raw_message_by_subject(subject).await.ok()).await
}

async fn publish(site: &Site, function: &str, headers: HeaderMap) {
    let jetstream = jetstream::new(nats::client(site).await);
    let published = jetstream.publish_with_headers(format!("skep.publish.{function}"), headers, "work".into()).await;
    published.unwrap().await.unwrap();
}

fn refused_for_its_headers(answer: &Answer) {
    answer.assert_refused(431);
    assert_eq!(answer.header("x-skep-error"), "headers_too_large");
    assert!(answer.text().contains("32768") || answer.text().contains("112"), "{answer:?}");
}

#[tokio::test]
async fn headers_beyond_what_may_be_stored_are_refused_at_the_door_and_nothing_is_stored() {
    let platform = Platform::start_with(&["--large-body", "1KB"], [Function::cat()]).await;
    let path = "/async-function/cat";
    let ask = async |path: &str, value: HeaderValue| {
        answer_to(platform.gateway.post(path).header("X-Big", value).body(vec![b'x'; 10_000])).await
    };
    let long = |length: usize| HeaderValue::try_from("x".repeat(length)).unwrap();
    refused_for_its_headers(&ask(path, long(33_000)).await);
    refused_for_its_headers(&ask(path, HeaderValue::from_bytes(&[0xFF; 17_000]).unwrap()).await);
    refused_for_its_headers(&ask(&format!("{path}/{}", "p".repeat(33_000)), long(1)).await);
    refused_for_its_headers(&ask(&format!("{path}?{}", "q".repeat(33_000)), long(1)).await);
    for stream in ["SKEP_INVOKE", "SKEP_REQUESTS", "SKEP_CALLS", "SKEP_DEAD"] {
        assert_eq!(messages(&platform.site, stream).await, 0, "{stream}");
    }
    let accepted = ask(path, long(31_000)).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    assert_eq!(platform.gateway.finished(accepted.header("x-call-id")).await["state"], "succeeded");
}

#[tokio::test]
async fn a_call_with_headers_up_to_the_limit_ends_also_when_each_attempt_fails() {
    let slow = Function::new("slow", "sleep 60").attempts(10);
    let platform = Platform::start([slow]).await;
    let receiver = Receiver::start().await;
    let request = platform.gateway.post("/async-function/slow").header("X-Big", "x".repeat(15_000));
    let request = request.header("X-Timeout", "1ms").header("X-Skep-Callback-Headers", "X-Big, X-Bigger");
    let request = request.header("X-Bigger", "y".repeat(15_500)).header("X-Callback-Url", &receiver.url);
    let accepted = answer_to(request.body("x")).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let status = platform.gateway.finished(accepted.header("x-call-id")).await;
    assert_eq!((&status["state"], &status["attempts"]), (&json!("dead"), &json!(10)), "{status}");
    assert_eq!(dead_letter(&platform.site).await.payload, "x");
    let callback = receiver.wait_for(1).await.remove(0);
    assert_eq!((callback.header("x-skep-error"), callback.header("x-big").len()), ("dead", 15_000));
}

#[tokio::test]
async fn an_answer_with_too_many_bytes_of_headers_ends_its_call_and_the_function_runs_once() {
    let platform = Platform::start([Function::upstream()]).await;
    let receiver = Receiver::start().await;
    let headers = format!("X-A: {}\r\nX-B: {}\r\n", "a".repeat(33_000), "b".repeat(33_000));
    let status = queue_verbatim(&platform.gateway, &receiver.url, verbatim("200 OK", &headers)).await;
    assert_eq!((&status["state"], &status["attempts"]), (&json!("succeeded"), &json!(1)), "{status}");
    assert!(status["reason"].as_str().unwrap().contains("the headers of the answer"), "{status}");
    let result = platform.gateway.result(status["callId"].as_str().unwrap()).await;
    assert_eq!((result.text().as_str(), result.header("x-skep-error")), ("bees", "incomplete_result"));
    assert_eq!((result.header("content-type"), result.header("x-a")), ("text/plain", ""));
    let callback = receiver.wait_for(1).await.remove(0);
    assert_eq!((&callback.body[..], callback.header("x-skep-error")), (&b"bees"[..], "incomplete_result"));
}

#[tokio::test]
async fn published_work_with_more_headers_than_a_call_may_have_is_a_dead_letter_and_its_callback_is_reported() {
    let platform = Platform::start([Function::cat()]).await;
    let receiver = Receiver::start().await;
    let mut headers = HeaderMap::new();
    for number in 0..3500 {
        headers.insert(format!("a{number}").as_str(), "1");
    }
    headers.insert("X-Callback-Url", receiver.url.as_str());
    publish(&platform.site, "cat", headers).await;
    let letter = dead_letter(&platform.site).await;
    let reason = letter.headers.get("Skep-Reason").unwrap().as_str();
    assert!(reason.contains("headers") && reason.contains("112"), "{reason}");
    assert_eq!((letter.payload, letter.headers.get("a77").unwrap().as_str()), ("work".into(), "1"));
    assert_eq!(receiver.wait_for(1).await.remove(0).header("x-skep-error"), "dead");
}

#[tokio::test]
async fn a_letter_that_has_no_room_for_its_reason_leaves_headers_out_and_says_so() {
    let platform = Platform::start([Function::cat()]).await;
    let mut headers = HeaderMap::new();
    headers.insert("X-Large", "a".repeat(65_400).as_str());
    publish(&platform.site, "cat", headers).await;
    let letter = dead_letter(&platform.site).await;
    let reason = letter.headers.get("Skep-Reason").unwrap().as_str();
    assert!(reason.contains("left out") && reason.contains("the headers of the request"), "{reason}");
    assert_eq!(letter.payload, "work");
}

#[tokio::test]
async fn published_work_for_a_function_that_is_not_deployed_tells_its_callback() {
    let platform = Platform::start([Function::cat()]).await;
    let receiver = Receiver::start().await;
    let mut headers = HeaderMap::new();
    headers.insert("X-Callback-Url", receiver.url.as_str());
    headers.insert("X-Order", "7");
    headers.insert("X-Skep-Callback-Headers", "X-Order");
    publish(&platform.site, "nowhere", headers).await;
    let callback = receiver.wait_for(1).await.remove(0);
    let facts = ["x-skep-error", "x-function-name", "x-order"].map(|name| callback.header(name).to_owned());
    assert_eq!(facts, ["dead", "nowhere", "7"]);
}

#[tokio::test]
async fn published_work_under_the_longest_of_subjects_is_a_dead_letter() {
    let platform = Platform::start([Function::cat()]).await;
    publish(&platform.site, &"x".repeat(3_900), HeaderMap::new()).await;
    let letter = dead_letter(&platform.site).await;
    assert!(letter.subject.len() < 300 && letter.payload == "work", "{letter:?}");
}

#[tokio::test]
async fn a_published_message_loses_what_is_of_one_connection_and_keeps_its_id() {
    let platform = Platform::start([Function::echo_http()]).await;
    let mut headers = HeaderMap::new();
    for (name, value) in [("Connection", "X-Call-Id, X-Hop"), ("X-Call-Id", "kept"), ("X-Hop", "1"), ("TE", "x")] {
        headers.insert(name, value);
    }
    publish(&platform.site, "echo", headers).await;
    platform.gateway.state("kept", "succeeded").await;
    let seen = platform.gateway.result("kept").await.json()["headers"].to_string().to_lowercase();
    assert!(seen.contains(r#""x-call-id":"kept""#), "{seen}");
    assert!(!seen.contains(r#""te""#) && !seen.contains(r#""x-hop""#), "{seen}");
}

#[tokio::test]
async fn a_function_that_claims_to_be_a_busy_watchdog_uses_up_its_attempts() {
    let platform = Platform::start([Function::upstream().attempts(2)]).await;
    let receiver = Receiver::start().await;
    let answer = verbatim("429 Too Many Requests", FORGED);
    let status = queue_verbatim(&platform.gateway, &receiver.url, answer).await;
    assert_eq!((&status["state"], &status["attempts"]), (&json!("dead"), &json!(2)), "{status}");
}

#[tokio::test]
async fn no_function_speaks_in_the_name_of_the_platform() {
    let cgi = r#"sh -c 'printf "X-Skep-Error: exec_timeout\nX-OpenFaaS-Internal: x\n\nbees"'"#;
    let platform = Platform::start([Function::upstream(), Function::new("cgi", cgi).env("cgi_response", "true")]).await;
    let receiver = Receiver::start().await;
    let answer = verbatim("200 OK", FORGED);
    let request = platform.gateway.post("/function/upstream/verbatim").body(answer.clone());
    for answer in [answer_to(request).await, platform.gateway.call("cgi", "x").await] {
        assert_eq!((answer.status, answer.text().as_str()), (200, "bees"), "{answer:?}");
        for name in ["x-skep-error", "x-openfaas-internal", "x-skep-anything", "x-skep-mark", "x-function-status"] {
            assert_eq!(answer.header(name), "", "{answer:?}");
        }
    }
    let status = queue_verbatim(&platform.gateway, &receiver.url, answer).await;
    assert_eq!(status["state"], "succeeded", "{status}");
    let callback = receiver.wait_for(1).await.remove(0);
    assert_eq!((callback.header("x-skep-error"), callback.header("x-function-status")), ("", "200"));
}

#[tokio::test]
async fn the_mark_of_the_platform_is_shown_to_no_function_and_no_caller() {
    let busy = Function::new("env", "env").env("max_inflight", "1");
    let platform = Platform::start([Function::echo_http(), busy]).await;
    for function in ["echo", "env"] {
        let answer = platform.gateway.call(function, "x").await;
        assert!(!answer.text().to_lowercase().replace('_', "-").contains("x-skep-mark"), "{answer:?}");
        assert_eq!(answer.header("x-skep-mark"), "");
    }
    let refused = answer_to(platform.gateway.request(http::Method::TRACE, "/function/env")).await;
    assert_eq!(refused.header("x-skep-mark"), "");
}

#[tokio::test]
async fn a_flood_of_interim_answers_is_no_answer() {
    let platform = Platform::start([Function::upstream()]).await;
    let ask = async |interim: usize| {
        let flood = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(interim) + &verbatim("200 OK", "");
        answer_to(platform.gateway.post("/function/upstream/verbatim").body(flood)).await
    };
    assert_eq!(ask(32).await.text(), "bees");
    let refused = ask(33).await;
    refused.assert_refused(502);
    assert_eq!(refused.header("x-skep-error"), "broken");
}

#[tokio::test]
async fn as_many_headers_as_a_watchdog_takes_reach_the_caller() {
    let platform = Platform::start([Function::upstream()]).await;
    // Beside the two that are there already. The test's own client takes no more than 100.
    let ask = async |more: usize| {
        let headers: String = (0..more).map(|number| format!("X-{number}: 1\r\n")).collect();
        let answer = verbatim("200 OK", &headers);
        let length = answer.len();
        let head = "POST /function/upstream/verbatim HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
        raw::exchange(platform.site.listen, format!("{head}Content-Length: {length}\r\n\r\n{answer}")).await
    };
    let answer = ask(98).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("x-97: 1\r\n"), "{answer}");
    let refused = ask(99).await;
    assert!(refused.starts_with("HTTP/1.1 502 "), "{refused}");
}

#[tokio::test]
async fn a_letter_is_not_sent_again_with_headers_that_cannot_be_stored() {
    let sick = Function::new("sick", "false").annotation("com.openfaas.retry.attempts", "1");
    let platform = Platform::start([sick]).await;
    assert_eq!(platform.gateway.queue_as("one", "sick", "x").await.status, 202);
    assert_eq!(platform.gateway.finished("one").await["state"], "dead");
    let changes = json!({ "headers": { "x-big": "x".repeat(33_000) } });
    refused_for_its_headers(&platform.gateway.send(http::Method::POST, "/system/dead/one/redrive", &changes).await);
    let changes = json!({ "text": "x".repeat(900_000) });
    assert_eq!(platform.gateway.finished("one").await["state"], "dead", "its record is there");
    let sent = platform.gateway.send(http::Method::POST, "/system/dead/one/redrive", &changes).await;
    assert_eq!(sent.status, 202, "{sent:?}");
}

#[tokio::test]
async fn a_message_that_is_too_large_stands_in_no_others_way() {
    let mut site = Site::new([]);
    site.nats_configuration = site.path("small.conf");
    std::fs::write(&site.nats_configuration, "max_payload: 64KB\njetstream {}\n").unwrap();
    let _server = site.start_nats().await;
    let bus = connect(&site).await;
    let submit = async |number: usize| {
        let mut call = invocation("f", &format!("call-{number}"));
        if number % 50 == 49 {
            call.body = bytes::Bytes::from(vec![b'x'; 70_000]).into();
        }
        (number, bus.calls.submit(&call).await)
    };
    for (number, submitted) in join_all((0..400).map(submit)).await {
        match submitted {
            Ok(submitted) => assert!(submitted == Submitted::Accepted && number % 50 != 49, "{number}"),
            Err(error) => assert!(matches!(error, Error::TooLarge { .. }) && number % 50 == 49, "{number}: {error:?}"),
        }
    }
}
