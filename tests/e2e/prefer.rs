//! `Prefer: wait=N`: a queued call whose result comes in the same answer.

use http::Method;
use rustix::process::Signal;

use crate::harness::{Answer, Function, Gateway, Platform, Roles, answer_to, wait_until};

async fn queue_and_wait(gateway: &Gateway, function: &str, prefer: &str) -> Answer {
    let request = gateway.post(&format!("/async-function/{function}")).header("Prefer", prefer);
    answer_to(request.header("X-Call-Id", "waited").body("honey")).await
}

#[tokio::test]
async fn the_result_comes_in_the_same_answer_and_is_stored_as_well() {
    let platform = Platform::start([Function::counted()]).await;
    let gateway = &platform.gateway;
    let answer = queue_and_wait(gateway, "counted", "respond-async, wait=60").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "honey"));
    for (name, value) in [
        ("preference-applied", "wait=60"),
        ("x-call-id", "waited"),
        ("x-function-name", "counted"),
        ("x-function-status", "200"),
        ("location", ""),
    ] {
        assert_eq!(answer.header(name), value, "{name}: {answer:?}");
    }
    assert_eq!(gateway.call_status("waited").await.unwrap()["state"], "succeeded");
    assert_eq!(gateway.result("waited").await.text(), "honey");

    // The same call again is the same result.
    let again = queue_and_wait(gateway, "counted", "wait=0").await;
    assert_eq!((again.status, again.text().as_str()), (200, "honey"));
    assert_eq!((again.header("x-skep-duplicate"), again.header("preference-applied")), ("true", "wait=0"));
    assert_eq!(platform.site.runs(), ["waited"]);
}

#[tokio::test]
async fn a_call_that_takes_longer_is_accepted_and_goes_on() {
    let platform = Platform::start([Function::gated()]).await;
    let answer = queue_and_wait(&platform.gateway, "gated", "wait=1").await;
    assert_eq!((answer.status, answer.header("preference-applied")), (202, "wait=1"));
    assert_eq!(answer.header("location"), "/system/calls/waited");
    assert_eq!(answer.text(), "");
    platform.site.open_gate();
    assert_eq!(platform.gateway.finished("waited").await["state"], "succeeded");
}

#[tokio::test]
async fn a_bad_answer_has_the_functions_status_and_a_call_without_one_says_why() {
    let platform =
        Platform::start([Function::failing().attempts(1), Function::upstream().answers_once(), Function::gated()])
            .await;
    let gateway = &platform.gateway;
    let verbatim = "HTTP/1.1 404 Not Found\r\nLocation: /elsewhere\r\nContent-Length: 4\r\n\r\nnone";
    let request = gateway.post("/async-function/upstream/verbatim").header("Prefer", "wait=60");
    let answer = answer_to(request.body(verbatim)).await;
    assert_eq!((answer.status, answer.header("x-function-status")), (404, "404"), "{answer:?}");
    assert_eq!((answer.text().as_str(), answer.header("location")), ("none", "/elsewhere"));
    let dead = answer_to(gateway.post("/async-function/failing").header("Prefer", "wait=60")).await;
    assert_eq!((dead.status, dead.header("x-function-status")), (500, "500"), "{dead:?}");
    assert!(dead.text().contains("sorry"), "{dead:?}");

    let (cancelled, ()) = tokio::join!(queue_and_wait(gateway, "gated", "wait=60"), async {
        wait_until("it is known", async || gateway.call_status("waited").await.is_some()).await;
        let cancel = gateway.request(Method::DELETE, "/system/calls/waited");
        assert_eq!(answer_to(cancel).await.status, 202);
    });
    cancelled.assert_refused(409);
    assert_eq!((cancelled.header("x-skep-error"), cancelled.header("x-call-id")), ("no_result", "waited"));
}

#[tokio::test]
async fn what_is_no_wait_is_passed_over() {
    let platform = Platform::start([Function::cat()]).await;
    for prefer in ["wait=soon", "wait=-1", "return=minimal", ""] {
        let request = platform.gateway.post("/async-function/cat").header("Prefer", prefer);
        let answer = answer_to(request.body("x")).await;
        assert_eq!((answer.status, answer.header("preference-applied")), (202, ""), "{prefer}");
    }
    let unknown = queue_and_wait(&platform.gateway, "nope", "wait=60").await;
    unknown.assert_refused(404);
}

#[tokio::test]
async fn a_gateway_that_is_told_to_stop_answers_whoever_waits() {
    let mut roles = Roles::start([Function::gated()]).await;
    let gateway = roles.gateway.clone();
    let (answer, ()) = tokio::join!(queue_and_wait(&gateway, "gated", "wait=300"), async {
        roles.site.wait_for_runs(1).await;
        roles.role_gateway.signal(Signal::TERM);
    });
    assert_eq!((answer.status, answer.header("location")), (202, "/system/calls/waited"));
    assert_eq!(roles.role_gateway.ended().await.code(), Some(0));
}
