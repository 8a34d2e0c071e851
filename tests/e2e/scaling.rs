//! Functions that sleep when they are not needed, and replicas that follow alerts.

use std::time::Duration;

use futures_util::{StreamExt, future::join_all};
use http::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Function, Platform, answer_to, metrics_of, raw, wait_until},
    nats,
};

const WAKING: &str = "--scale-from-zero=true";

/// A program that never begins to listen.
fn never_ready() -> Function {
    Function::new("never", "sleep 600").env("mode", "http")
}

async fn put_to_sleep(platform: &Platform, function: &str) {
    platform.gateway.scale(function, 0).await;
    platform.gateway.wait_for_replicas(function, 0).await;
}

async fn replicas(platform: &Platform, function: &str) -> Value {
    platform.gateway.function(function).await.unwrap()["replicas"].clone()
}

#[tokio::test]
async fn many_calls_of_a_function_that_sleeps_wake_it_once_and_are_all_answered() {
    let platform = Platform::start_with(&[WAKING], [Function::cat().label("com.openfaas.scale.min", "2")]).await;
    put_to_sleep(&platform, "cat").await;
    let client = nats::client(&platform.site).await;
    let mut asked = client.subscribe("skep.control.wake").await.unwrap();
    client.flush().await.unwrap();
    let calls = (0..50).map(|number| platform.gateway.call("cat", number.to_string()));
    for (number, answer) in join_all(calls).await.into_iter().enumerate() {
        assert_eq!((answer.status, answer.text()), (200, number.to_string()), "{answer:?}");
    }
    assert_eq!(replicas(&platform, "cat").await, 2, "it is at its minimum");
    client.publish("skep.control.wake", "the end".into()).await.unwrap();
    assert!(asked.next().await.unwrap().payload.starts_with(b"\"cat\""));
    assert_eq!(asked.next().await.unwrap().payload, "the end", "one request, however many calls");
}

#[tokio::test]
async fn queued_and_published_work_and_requests_over_nats_wake_too() {
    let platform = Platform::start_with(&[WAKING], [Function::counted()]).await;
    let client = nats::client(&platform.site).await;
    put_to_sleep(&platform, "counted").await;
    let id = platform.gateway.queue("counted", "queued").await;
    assert_eq!(platform.gateway.finished(&id).await["state"], "succeeded");

    put_to_sleep(&platform, "counted").await;
    client.publish("skep.publish.counted", "published".into()).await.unwrap();
    client.flush().await.unwrap();
    platform.site.wait_for_runs(2).await;

    put_to_sleep(&platform, "counted").await;
    assert_eq!(client.request("skep.call.counted", "asked".into()).await.unwrap().payload, "asked");
}

#[tokio::test]
async fn a_call_of_a_function_that_does_not_become_ready_is_503_after_the_deadline() {
    let platform = Platform::start_with(&["--wake-timeout", "300ms"], []).await;
    let body = never_ready().deployment(platform.site.folder());
    assert_eq!(platform.gateway.send(Method::POST, "/system/functions", &body).await.status, 202);
    let answer = platform.gateway.call("never", "x").await;
    answer.assert_refused(503);
    assert_eq!(answer.header("x-skep-error"), "no_replica");
    assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{answer:?}");
    let client = nats::client(&platform.site).await;
    let refused = client.request("skep.call.never", "x".into()).await.unwrap();
    let code = refused.headers.as_ref().and_then(|headers| headers.get("Nats-Service-Error-Code")).unwrap();
    assert_eq!(code.as_str(), "503");
}

#[tokio::test]
async fn only_so_many_calls_are_held_and_one_that_leaves_makes_room() {
    let platform = Platform::start_with(&["--held-calls", "1"], []).await;
    let body = never_ready().deployment(platform.site.folder());
    assert_eq!(platform.gateway.send(Method::POST, "/system/functions", &body).await.status, 202);
    let request = "POST /function/never HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let connection = raw::send(platform.site.listen, request).await;
    let begun = "gateway_function_invocation_started{function_name=\"never\"} 1";
    wait_until(begun, async || metrics_of(platform.site.admin).await.lines().any(|line| line == begun)).await;
    let refused = platform.gateway.call("never", "x").await;
    refused.assert_refused(503);
    assert_eq!(refused.header("x-skep-error"), "too_many_held");
    drop(connection);
    // A call that is held gets no answer in this time.
    let hasty = reqwest::Client::builder().no_proxy().timeout(Duration::from_millis(300)).build().unwrap();
    let url = format!("{}/function/never", platform.gateway.url);
    wait_until("there is room again", async || hasty.post(&url).send().await.is_err_and(|error| error.is_timeout()))
        .await;
}

#[tokio::test]
async fn an_idle_function_falls_asleep_and_one_that_is_in_use_does_not() {
    let platform = Platform::start_with(&[WAKING], []).await;
    let may_sleep = |function: Function| {
        function.label("com.openfaas.scale.zero", "true").label("com.openfaas.scale.zero-duration", "5s")
    };
    platform.site.deploy(&may_sleep(Function::gated())).await;
    let gateway = platform.gateway.clone();
    let call = tokio::spawn(async move { gateway.call("gated", "patience").await });
    platform.site.wait_for_runs(1).await;
    platform.site.deploy(&Function::new("awake", "cat")).await;
    // It is younger, so the one in use would have been first to fall asleep.
    platform.site.deploy(&may_sleep(Function::cat())).await;
    platform.gateway.wait_for_replicas("cat", 0).await;
    assert_eq!(replicas(&platform, "cat").await, 0);
    assert_eq!(replicas(&platform, "gated").await, 1, "a call is under way");
    assert_eq!(replicas(&platform, "awake").await, 1, "nobody has allowed it to sleep");
    let asleep = "gateway_service_count{function_name=\"cat\"} 0";
    wait_until(asleep, async || metrics_of(platform.site.admin).await.lines().any(|line| line == asleep)).await;

    assert_eq!(platform.gateway.call("cat", "good morning").await.text(), "good morning");
    platform.site.open_gate();
    assert_eq!(call.await.unwrap().text(), "patience");
    platform.gateway.wait_for_replicas("gated", 0).await;
    platform.gateway.wait_for_replicas("cat", 0).await;
}

async fn alert(platform: &Platform, alerts: &[(&str, &str)]) -> Answer {
    let alerts: Vec<_> = alerts
        .iter()
        .map(
            |(status, function)| json!({ "status": status, "labels": { "alertname": "x", "function_name": function } }),
        )
        .collect();
    let body = json!({ "receiver": "scale-up", "status": "firing", "alerts": alerts });
    platform.gateway.send(Method::POST, "/system/alert", &body).await
}

#[tokio::test]
async fn alerts_scale_in_steps_and_their_end_drops_to_the_minimum() {
    let scaled = |name: &str, min: &str, max: &str| {
        let function = Function::new(name, "cat").label("com.openfaas.scale.min", min);
        function.label("com.openfaas.scale.max", max).label("com.openfaas.scale.factor", "50")
    };
    let platform = Platform::start([scaled("steps", "1", "3"), scaled("fixed", "2", "2"), Function::cat()]).await;
    let check = async |alerts: &[(&str, &str)], function: &str, expected: u64| {
        let answer = alert(&platform, alerts).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let what = format!("{function} has {expected} replicas after {alerts:?}");
        wait_until(&what, async || replicas(&platform, function).await == expected).await;
    };
    check(&[("firing", "steps")], "steps", 3).await;
    platform.gateway.wait_for_replicas("steps", 3).await;
    check(&[("firing", "steps"), ("firing", "fixed.openfaas-fn")], "steps", 3).await;
    check(&[("resolved", "steps"), ("resolved", "fixed")], "steps", 1).await;
    assert_eq!(replicas(&platform, "fixed").await, 2);
    check(&[("firing", "cat")], "cat", 5).await;
    put_to_sleep(&platform, "cat").await;
    check(&[("resolved", "cat")], "cat", 0).await;
}

#[tokio::test]
async fn an_alert_that_cannot_be_followed_is_reported() {
    let platform = Platform::start([Function::cat()]).await;
    let answer = alert(&platform, &[("firing", "also bad"), ("firing", "cat"), ("firing", "Not One")]).await;
    answer.assert_refused(500);
    let text = answer.text();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("[0] ") && lines[0].contains("also bad"), "{text}");
    assert!(lines[1].starts_with("[2] ") && lines[1].contains("Not One"), "{text}");
    wait_until("the good one is followed", async || replicas(&platform, "cat").await == 5).await;
    for body in ["", "{}", "[]", "{\"alerts\":7}"] {
        answer_to(platform.gateway.post("/system/alert").body(body)).await.assert_refused(400);
    }
}

#[tokio::test]
async fn an_alert_about_a_deleted_function_is_no_failure_so_the_others_are_not_scaled_again() {
    let platform = Platform::start([Function::cat()]).await;
    let deleted = alert(&platform, &[("firing", "deleted"), ("resolved", "deleted"), ("firing", "cat")]).await;
    assert_eq!(deleted.status, 200, "{deleted:?}");
    wait_until("the one that is there is scaled", async || replicas(&platform, "cat").await == 5).await;
}
