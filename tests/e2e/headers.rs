//! What happens to the headers of a synchronous call on the way in and out.

use std::collections::HashMap;

use serde_json::Value;

use crate::harness::{Function, Platform, answer_to, raw};

/// The headers that the echo function saw, by lower-case name.
fn seen(body: &Value) -> HashMap<String, String> {
    let headers = body["headers"].as_object().unwrap();
    headers.iter().map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap().to_owned())).collect()
}

#[tokio::test]
async fn a_call_has_an_id_and_a_start_time_on_both_ends() {
    let platform = Platform::start([Function::echo_http()]).await;
    let first = platform.gateway.call("echo", "x").await;
    let second = platform.gateway.call("echo", "x").await;
    assert_ne!(first.header("x-call-id"), second.header("x-call-id"));
    let at_function = seen(&first.json());
    assert_eq!(at_function["x-call-id"], first.header("x-call-id"));
    assert_eq!(at_function["x-start-time"], first.header("x-start-time"));
    assert!(first.header("x-start-time").parse::<u64>().unwrap() > 1_700_000_000_000_000_000);
    assert!(!first.header("x-served-by").is_empty());

    let request = platform.gateway.post("/function/echo").header("X-Call-Id", "mine.7").header("X-Start-Time", "42");
    let own = answer_to(request.body("x")).await;
    assert_eq!((own.header("x-call-id"), seen(&own.json())["x-call-id"].as_str()), ("mine.7", "mine.7"));
    let appended = format!("42, {}", own.header("x-start-time"));
    assert_eq!(seen(&own.json())["x-start-time"], appended, "the time is appended, not replaced");
}

#[tokio::test]
async fn the_function_is_told_who_called() {
    let platform = Platform::start([Function::echo_http()]).await;
    let plain = seen(&platform.gateway.call("echo", "x").await.json());
    assert_eq!(plain["x-forwarded-host"], platform.site.listen.to_string());
    assert_eq!((plain["x-forwarded-for"].as_str(), plain["x-forwarded-proto"].as_str()), ("127.0.0.1", "http"));

    let request = platform.gateway.post("/function/echo").header("X-Forwarded-For", "10.1.2.3");
    let request = request.header("X-Forwarded-Host", "outer.example").header("Authorization", "Bearer x");
    let through_proxy = seen(&answer_to(request.body("x")).await.json());
    assert_eq!(through_proxy["x-forwarded-for"], "10.1.2.3, 127.0.0.1");
    assert_eq!(through_proxy["x-forwarded-host"], "outer.example");
    assert_eq!(through_proxy["authorization"], "Bearer x");
}

#[tokio::test]
async fn headers_of_one_connection_do_not_reach_the_function() {
    let platform = Platform::start([Function::echo_http()]).await;
    let request = "POST /function/echo HTTP/1.1\r\nHost: a\r\nConnection: close, X-Private\r\nX-Private: secret\r\n\
        X-Kept: 1\r\nKeep-Alive: timeout=9\r\nTE: trailers\r\nProxy-Authorization: Basic eA==\r\nUpgrade: nothing\r\n\
        Proxy-Connection: close\r\nTrailer: X-Sum\r\nContent-Length: 2\r\n\r\nhi";
    let answer = raw::exchange(platform.site.listen, request).await;
    let headers = seen(&serde_json::from_str(raw::body_of(&answer)).expect(&answer));
    let hops = ["x-private", "keep-alive", "te", "proxy-authorization", "upgrade", "proxy-connection", "trailer"];
    for hop in hops {
        assert!(!headers.contains_key(hop), "{hop}: {headers:?}");
    }
    assert_eq!(headers["x-kept"], "1");
}

#[tokio::test]
async fn headers_of_the_functions_connection_do_not_come_back() {
    let platform = Platform::start([Function::upstream()]).await;
    let raw = "HTTP/1.1 200 OK\r\nConnection: close, X-Private\r\nX-Private: secret\r\nKeep-Alive: timeout=9\r\n\
        X-Kept: 1\r\nX-Kept: 2\r\nX-Latin: caf\u{e9}\r\nX-Call-Id: another\r\nContent-Length: 2\r\n\r\nhi";
    let request = platform.gateway.post("/function/upstream/verbatim").header("X-Call-Id", "mine");
    let answer = answer_to(request.body(raw)).await;
    assert_eq!(answer.text(), "hi", "{answer:?}");
    for hop in ["x-private", "keep-alive"] {
        assert!(!answer.headers.contains_key(hop), "{hop}: {answer:?}");
    }
    assert_eq!(answer.headers.get_all("x-kept").iter().count(), 2);
    assert_eq!(answer.headers["x-latin"].as_bytes(), "caf\u{e9}".as_bytes());
    assert_eq!(answer.headers.get_all("x-call-id").iter().count(), 1);
    assert_eq!(answer.header("x-call-id"), "mine", "the call's id is not the function's to change");
}

#[tokio::test]
async fn a_fork_function_gets_the_request_in_its_environment() {
    let platform = Platform::start([Function::new("env", "env")]).await;
    let request = platform.gateway.request(http::Method::PUT, "/function/env/a%20b?q=1").header("X-Shade", "blue");
    let answer = answer_to(request.header("X-Call-Id", "e-1").body("four")).await;
    let text = answer.text();
    for line in [
        "Http_Method=PUT",
        "Http_Path=/a b",
        "Http_Query=q=1",
        "Http_X_Shade=blue",
        "Http_X_Call_Id=e-1",
        "Http_Content_Length=4",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in:\n{text}");
    }
    assert!(answer.header("x-duration-seconds").parse::<f64>().is_ok(), "{answer:?}");
}
