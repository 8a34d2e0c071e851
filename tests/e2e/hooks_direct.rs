//! Calls of events that run straight from their event, without having been queued.

use async_nats::jetstream::stream::State;
use serde_json::{Value, json};

use crate::harness::{Function, Platform, answer_to, wait_for, wait_until};

async fn start(function: Function) -> Platform {
    let name = function.name.clone();
    let platform = Platform::start([function]).await;
    let routes = json!([{ "to": name, "filter": { "type": "push" } }]);
    platform.gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    platform
}

async fn state(platform: &Platform, stream: &str) -> State {
    crate::nats::stream(&platform.site, stream).await.get_info().await.unwrap().state
}

/// Sends a push and returns the id of its call.
async fn call(platform: &Platform, delivery: &str) -> String {
    platform.gateway.push("github", delivery).await;
    let event = platform.gateway.routed_event("github", delivery).await;
    event["calls"][0]["callId"].as_str().unwrap().to_owned()
}

/// Waits until a call runs and its event no longer waits for it.
async fn leased_call(platform: &Platform, delivery: &str) -> String {
    let id = call(platform, delivery).await;
    platform.gateway.state(&id, "running").await;
    wait_until("a lease stands for it", async || state(platform, "SKEP_DELAYED").await.messages == 1).await;
    let route = async || {
        let events = crate::nats::stream(&platform.site, "SKEP_EVENTS").await;
        let mut route = events.get_consumer::<async_nats::jetstream::consumer::pull::Config>("route").await.unwrap();
        route.info().await.unwrap().num_ack_pending
    };
    wait_until("its event is routed", async || route().await == 0).await;
    id
}

#[tokio::test]
async fn a_call_that_can_begin_at_once_is_stored_as_its_record_alone() {
    let platform = start(Function::counted()).await;
    let mut calls = Vec::new();
    for number in 0..10 {
        let id = call(&platform, &format!("delivery-{number}")).await;
        let status = platform.gateway.finished(&id).await;
        assert_eq!((&status["state"], &status["attempts"]), (&json!("succeeded"), &json!(1)), "{status}");
        calls.push(id);
    }
    assert_eq!(platform.site.runs(), calls);
    for stream in ["SKEP_INVOKE", "SKEP_BACKLOG", "SKEP_DELAYED"] {
        assert_eq!(state(&platform, stream).await.last_sequence, 0, "{stream}");
    }
}

#[tokio::test]
async fn a_call_that_takes_long_does_not_hold_up_its_event_and_can_be_cancelled() {
    let platform = start(Function::gated()).await;
    let first = leased_call(&platform, "delivery-1").await;
    assert_eq!(platform.gateway.cancel(&first).await.status, 202);
    wait_until("nothing stands for it", async || state(&platform, "SKEP_DELAYED").await.messages == 0).await;
    assert_eq!(platform.gateway.finished(&first).await["state"], "cancelled");

    let second = leased_call(&platform, "delivery-2").await;
    platform.site.open_gate();
    assert_eq!(platform.gateway.finished(&second).await["state"], "succeeded");
    wait_until("nothing stands for it", async || state(&platform, "SKEP_DELAYED").await.messages == 0).await;
    assert_eq!(platform.site.runs(), [first, second]);
    assert_eq!(state(&platform, "SKEP_INVOKE").await.last_sequence, 0);
}

#[tokio::test]
async fn a_call_that_fails_is_tried_again_and_becomes_a_dead_letter() {
    let platform = start(Function::failing().attempts(2)).await;
    let id = call(&platform, "delivery-1").await;
    let status = platform.gateway.finished(&id).await;
    assert_eq!((&status["state"], &status["attempts"]), (&json!("dead"), &json!(2)), "{status}");
    assert_eq!(platform.site.runs(), ["1/2", "2/2"]);
    let letter = wait_for("its dead letter", async || {
        let letters = answer_to(platform.gateway.get("/system/dead")).await.json();
        letters.as_array()?.iter().find(|letter| letter["callId"] == id.as_str()).cloned()
    })
    .await;
    assert_eq!(letter["attempts"], 2, "{letter}");
}

#[tokio::test]
async fn calls_that_find_no_slot_wait_in_the_backlog_and_each_runs_once() {
    let slow = Function::new("slow", r#"sh -c 'echo "$Http_X_Call_Id" >> runs; sleep 0.3'"#).env("max_inflight", "1");
    let platform = start(slow).await;
    let mut calls: Vec<Value> = Vec::new();
    for number in 0..8 {
        calls.push(call(&platform, &format!("delivery-{number}")).await.into());
    }
    for id in &calls {
        let status = platform.gateway.finished(id.as_str().unwrap()).await;
        assert_eq!((&status["state"], &status["attempts"]), (&json!("succeeded"), &json!(1)), "{status}");
    }
    let mut runs: Vec<Value> = platform.site.runs().into_iter().map(Into::into).collect();
    let by_id = |one: &Value, other: &Value| one.as_str().cmp(&other.as_str());
    runs.sort_by(by_id);
    calls.sort_by(by_id);
    assert_eq!(runs, calls);
}
