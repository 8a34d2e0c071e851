//! Synchronous calls: verbs, paths, and what is said when a function cannot answer.

use http::Method;
use rustix::process::Signal;

use crate::harness::{Answer, Function, Platform, answer_to, raw, wait_until};

#[tokio::test]
async fn every_verb_of_the_contract_reaches_the_function() {
    let platform = Platform::start([Function::echo_http()]).await;
    for verb in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let request = platform.gateway.request(verb.parse().unwrap(), "/function/echo").body("hello");
        let answer = answer_to(request).await;
        assert_eq!((answer.status, &answer.json()["method"]), (200, &verb.into()), "{answer:?}");
        assert_eq!(answer.json()["body"], "hello", "{verb}");
    }
    let head = answer_to(platform.gateway.request(Method::HEAD, "/function/echo")).await;
    assert_eq!((head.status, head.header("content-type"), head.body.len()), (200, "application/json", 0));
    let other = answer_to(platform.gateway.request(Method::TRACE, "/function/echo")).await;
    other.assert_refused(405);
    assert!(other.header("allow").contains("PATCH"), "{other:?}");
}

#[tokio::test]
async fn path_and_query_reach_the_function_byte_by_byte() {
    let platform = Platform::start([Function::echo_http()]).await;
    let shapes = [
        ("/function/echo", "/"),
        ("/function/echo/", "/"),
        ("/function/echo?", "/?"),
        ("/function/echo/a%2Fb//c/%FF/%25zz", "/a%2Fb//c/%FF/%25zz"),
        ("/function/echo/x/../y/./", "/x/../y/./"),
        ("/function/echo.openfaas-fn/a?b=%20&c&d=%2F", "/a?b=%20&c&d=%2F"),
        ("/function/echo/x//", "/x//"),
    ];
    for (asked, expected) in shapes {
        let request = format!("GET {asked} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = raw::exchange(platform.site.listen, request).await;
        let seen: serde_json::Value = serde_json::from_str(raw::body_of(&answer)).expect(&answer);
        assert_eq!(seen["path"], expected, "{asked}");
    }
}

#[tokio::test]
async fn what_cannot_be_called_says_why() {
    let platform = Platform::start([Function::cat()]).await;
    let refusals = [
        ("/function/unknown", 404),
        ("/function/unknown.openfaas-fn/x", 404),
        ("/function/cat.elsewhere", 404),
        ("/function/", 404),
        ("/function", 404),
        ("/function/.openfaas-fn", 404),
        ("/function/Cat", 400),
        ("/function/c%61t", 400),
        ("/function/-cat", 400),
        ("/function/%FF", 400),
        ("/nowhere", 404),
    ];
    for (path, status) in refusals {
        let answer = answer_to(platform.gateway.post(path).body("x")).await;
        answer.assert_refused(status);
        if path.starts_with("/function") {
            assert!(!answer.header("x-call-id").is_empty(), "{path}: {answer:?}");
        }
    }
    assert_eq!(platform.gateway.call("cat.openfaas-fn", "x").await.text(), "x");
}

#[tokio::test]
async fn a_function_without_a_replica_is_503_and_asks_to_come_again() {
    let platform = Platform::start([Function::cat()]).await;
    platform.gateway.scale("cat", 0).await;
    platform.gateway.wait_for_replicas("cat", 0).await;
    let answer = platform.gateway.call("cat", "x").await;
    answer.assert_refused(503);
    assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{answer:?}");
    platform.gateway.scale("cat", 1).await;
    platform.gateway.wait_for_replicas("cat", 1).await;
    assert_eq!(platform.gateway.call("cat", "x").await.text(), "x");
}

#[tokio::test]
async fn a_function_that_does_not_answer_in_its_time_is_504() {
    let hasty = Function::upstream().annotation("skep.timeout", "500ms");
    let sleep = Function::new("sleep", "sleep 60").annotation("skep.timeout", "500ms").answers_once();
    let platform = Platform::start([hasty, sleep]).await;
    let answer = platform.gateway.call("upstream/never", "x").await;
    answer.assert_refused(504);
    let answer = platform.gateway.call("sleep", "x").await;
    answer.assert_refused(504);
    assert_eq!(answer.header("x-skep-error"), "timed_out");
    let id = platform.gateway.queue("sleep", "x").await;
    let status = platform.gateway.finished(&id).await;
    assert_eq!((&status["state"], &status["status"]), (&"failed".into(), &504.into()), "{status}");
}

#[tokio::test]
async fn a_function_that_breaks_off_is_502() {
    let platform = Platform::start([Function::upstream(), Function::gated()]).await;
    for raw in ["", "no HTTP at all\r\n\r\n"] {
        let answer = verbatim(&platform, raw).await;
        answer.assert_refused(502);
        assert_eq!(answer.header("x-skep-error"), "broken", "{answer:?}");
    }
    assert_eq!(verbatim(&platform, "HTTP/1.1 418 Teapot\r\nContent-Length: 2\r\n\r\nhi").await.status, 418);

    // Its watchdog dies in the middle of a call.
    let call = platform.gateway.call("gated", "x");
    let kill = async {
        platform.site.wait_for_runs(1).await;
        let processes = platform.site.processes();
        let watchdogs = processes.iter().filter(|process| process.is("fwatchdog"));
        watchdogs.for_each(|watchdog| watchdog.kill());
    };
    let (answer, ()) = tokio::join!(call, kill);
    answer.assert_refused(502);
}

#[tokio::test]
async fn a_redirect_goes_to_the_caller() {
    let platform = Platform::start([Function::upstream()]).await;
    let raw = "HTTP/1.1 302 Found\r\nLocation: http://example.com/\r\nContent-Length: 0\r\n\r\n";
    let answer = verbatim(&platform, raw).await;
    assert_eq!((answer.status, answer.header("location")), (302, "http://example.com/"));
}

#[tokio::test]
async fn a_caller_that_leaves_cancels_the_call() {
    let platform = Platform::start([Function::gated()]).await;
    let request = "POST /function/gated HTTP/1.1\r\nHost: a\r\nX-Call-Id: leaver\r\nContent-Length: 0\r\n\r\n";
    let connection = raw::send(platform.site.listen, request).await;
    platform.site.wait_for_runs(1).await;
    let runs = || platform.site.processes().iter().any(|process| process.command.contains("-e gate"));
    assert!(runs(), "{:?}", platform.site.processes());
    drop(connection);
    wait_until("the function's process is gone", async || !runs()).await;
}

#[tokio::test]
async fn a_call_in_flight_ends_well_when_the_platform_is_told_to_stop() {
    let mut platform = Platform::start([Function::gated()]).await;
    let call = platform.gateway.call("gated", "late");
    let stop = async {
        platform.site.wait_for_runs(1).await;
        platform.up.signal(Signal::TERM);
        let refuses = async || tokio::net::TcpStream::connect(platform.site.listen).await.is_err();
        wait_until("nothing new is accepted", refuses).await;
        platform.site.open_gate();
    };
    let (answer, ()) = tokio::join!(call, stop);
    assert_eq!((answer.status, answer.text().as_str()), (200, "late"));
    assert!(platform.up.ended().await.success());
}

async fn verbatim(platform: &Platform, raw: &'static str) -> Answer {
    platform.gateway.call("upstream/verbatim", raw).await
}
