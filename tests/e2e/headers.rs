//! What happens to the headers of a synchronous call on the way in and out.

use std::collections::HashMap;

use serde_json::Value;

use crate::harness::{Answer, Function, Platform, answer_to, raw};

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

    let through_proxy = seen(&from_proxy(&platform).await.json());
    assert_eq!(through_proxy["x-forwarded-for"], "10.1.2.3, 127.0.0.1");
    assert_eq!(through_proxy["x-forwarded-host"], "outer.example");
    assert_eq!((&*through_proxy["x-real-ip"], &*through_proxy["authorization"]), ("10.1.2.3", "Bearer x"));
}

/// A call that says where it came from.
async fn from_proxy(platform: &Platform) -> Answer {
    let request = platform.gateway.post("/function/echo").header("X-Forwarded-For", "10.1.2.3");
    let request = request.header("X-Forwarded-Host", "outer.example").header("X-Forwarded-Proto", "https");
    let request = request.header("X-Real-IP", "10.1.2.3").header("Forwarded", "for=10.1.2.3");
    answer_to(request.header("X_Forwarded_For", "10.1.2.3").header("Authorization", "Bearer x").body("x")).await
}

#[tokio::test]
async fn only_a_trusted_proxy_is_believed_about_where_a_call_came_from() {
    let platform = Platform::start_with(&["--trusted-proxies", "192.0.2.0/24"], [Function::echo_http()]).await;
    let reported = seen(&from_proxy(&platform).await.json());
    assert_eq!((&*reported["x-forwarded-for"], &*reported["x-forwarded-proto"]), ("127.0.0.1", "http"));
    assert_eq!(reported["x-forwarded-host"], platform.site.listen.to_string());
    for forged in ["x-real-ip", "forwarded", "x_forwarded_for"] {
        assert!(!reported.contains_key(forged), "{reported:?}");
    }
    assert_eq!(reported["authorization"], "Bearer x");
}

#[tokio::test]
async fn a_caller_cannot_hide_or_say_what_only_skep_says() {
    let platform = Platform::start([Function::echo_http()]).await;
    let forged = "X-Skep-Callback-Of: a\r\nX-Skep-Error: dead\r\nX-OpenFaaS-Internal: gateway\r\n\
        X-Function-Status: 500\r\nX-Skep-Attempt: 3\r\nX-Skep-Attempts: 3\r\nX_Skep_Error: dead\r\n";
    let hidden =
        "Connection: close, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, Host, Content-Type, X-Call-Id\r\n";
    let rest = "Host: a.example\r\nContent-Type: text/x-hive\r\nX-Call-Id: mine-1\r\nX-Skep-Callback-Headers: X-Kept\r\n\
        X-Kept: 1\r\nContent-Length: 2\r\n\r\nhi";
    let sync =
        raw::exchange(platform.site.listen, format!("POST /function/echo HTTP/1.1\r\n{forged}{hidden}{rest}")).await;
    let request = format!("POST /async-function/echo HTTP/1.1\r\nPrefer: wait=20\r\n{forged}{hidden}{rest}");
    let queued = raw::exchange(platform.site.listen, request).await;
    for answer in [sync, queued] {
        let headers = seen(&serde_json::from_str(raw::body_of(&answer)).expect(&answer));
        for (name, value) in [
            ("host", "a.example"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-host", "a.example"),
            ("x-forwarded-proto", "http"),
            ("content-type", "text/x-hive"),
            ("x-call-id", "mine-1"),
            ("x-skep-callback-headers", "X-Kept"),
        ] {
            assert_eq!(headers.get(name).map(String::as_str), Some(value), "{name}: {headers:?}");
        }
        for name in ["x-skep-callback-of", "x-skep-error", "x-openfaas-internal", "x-function-status", "x_skep_error"] {
            assert!(!headers.contains_key(name), "{name}: {headers:?}");
        }
        assert_ne!(headers.get("x-skep-attempts").map(String::as_str), Some("3"), "{headers:?}");
    }
}

#[tokio::test]
async fn a_request_says_exactly_once_which_host_it_is_for() {
    let platform = Platform::start([Function::echo_http()]).await;
    for path in ["/function/echo", "/system/info", "/async-function/echo"] {
        for hosts in ["", "Host: a\r\nHost: a\r\n", "Host: a\r\nX: 1\r\nHost: b\r\n"] {
            // The second one goes the slow way, by hyper.
            for way in ["", "TE: trailers\r\n"] {
                let request = format!("GET {path} HTTP/1.1\r\n{hosts}{way}Connection: close\r\n\r\n");
                let answer = raw::exchange(platform.site.listen, request).await;
                assert!(answer.starts_with("HTTP/1.1 400 "), "{path} {hosts:?}: {answer}");
                assert!(answer.contains("x-skep-error: invalid_host\r\n"), "{answer}");
            }
        }
    }
    let other = "GET http://b/function/echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(raw::exchange(platform.site.listen, other).await.starts_with("HTTP/1.1 400 "));
    let plain = "GET /function/echo HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n";
    let mut stream = raw::send(platform.site.listen, plain).await;
    let mut first = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 400");
    let old = raw::exchange(platform.site.listen, "GET /function/echo HTTP/1.0\r\n\r\n").await;
    assert!(old.contains(" 200 "), "HTTP/1.0 may leave it out: {old}");
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
