//! What callers learn in less usual cases: an id that is taken, an answer that cannot be kept, a letter beside a letter.

use http::StatusCode;
use serde_json::json;

use crate::harness::{Function, Platform, Receiver, answer_to, wait_until};

#[tokio::test]
async fn a_call_id_of_another_function_is_refused_while_queued_and_once_recorded() {
    let platform = Platform::start([Function::gated(), Function::counted()]).await;
    let first = platform.gateway.queue_as("taken", "gated", "x").await;
    assert_eq!(first.status, 202);
    platform.gateway.state("taken", "running").await;
    platform.gateway.queue_as("taken", "counted", "x").await.assert_refused(422);
    platform.site.open_gate();
    platform.gateway.finished("taken").await;
    let refused = platform.gateway.queue_as("taken", "counted", "x").await;
    refused.assert_refused(422);
    assert!(refused.text().contains("taken belongs to another call"), "{refused:?}");
    assert_eq!(platform.site.runs(), ["taken"]);
    let again = platform.gateway.queue_as("taken", "gated", "x").await;
    assert_eq!((again.status, again.header("x-skep-duplicate")), (202, "true"));
}

#[tokio::test]
async fn an_answer_too_large_to_keep_is_told_and_not_shown_as_empty() {
    let arguments = ["--async-result-limit", "8MB"];
    let platform = Platform::start_with(&arguments, [Function::new("much", "head -c 9000000 /dev/zero")]).await;
    let receiver = Receiver::start().await;
    let request = platform.gateway.post("/async-function/much").header("X-Callback-Url", &receiver.url);
    let id = answer_to(request).await.header("x-call-id").to_owned();
    let callback = receiver.wait_for(1).await.remove(0);
    assert_eq!((callback.header("x-skep-error"), callback.header("content-length")), ("no_result", "0"));
    assert_eq!(platform.gateway.finished(&id).await["state"], "failed");
    let result = platform.gateway.result(&id).await;
    result.assert_refused(409);
    assert!(result.text().contains("larger than"), "{result:?}");
}

#[tokio::test]
async fn a_dead_call_and_its_dead_callback_are_both_kept() {
    let platform = Platform::start([Function::counted()]).await;
    platform.gateway.scale("counted", 0).await;
    platform.gateway.wait_for_replicas("counted", 0).await;
    let gone = Receiver::refusing(100, StatusCode::GONE).await;
    let request = platform.gateway.post("/async-function/counted").header("X-Callback-Url", &gone.url);
    let id = answer_to(request.body("x")).await.header("x-call-id").to_owned();
    let body = json!({ "functionName": "counted" });
    assert_eq!(platform.gateway.send(http::Method::DELETE, "/system/functions", &body).await.status, 202);
    assert_eq!(platform.gateway.finished(&id).await["state"], "dead");
    let stream = crate::nats::stream(&platform.site, "SKEP_DEAD").await;
    wait_until("two dead letters", async || stream.get_info().await.unwrap().state.messages == 2).await;
    for subject in [format!("skep.dead.counted.{id}"), format!("skep.dead.counted.{id}.callback")] {
        stream.get_last_raw_message_by_subject(&subject).await.unwrap();
    }
}

#[tokio::test]
async fn a_function_can_be_called_right_after_its_deploy() {
    let platform = Platform::start([]).await;
    for number in 0..10 {
        let deployment = Function::new(&format!("f{number}"), "cat").deployment(platform.site.folder());
        let answer = platform.gateway.send(http::Method::POST, "/system/functions", &deployment).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let answer = platform.gateway.call(&format!("f{number}"), "x").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "x"), "{answer:?}");
    }
}

#[tokio::test]
async fn credentials_of_a_callback_are_used_and_not_shown() {
    let platform = Platform::start([Function::new("env", "env")]).await;
    let receiver = Receiver::start().await;
    let url = receiver.url.replace("http://", "http://bee:honey@");
    let request = platform.gateway.post("/async-function/env").header("X-Callback-Url", &url);
    let id = answer_to(request).await.header("x-call-id").to_owned();
    let callback = receiver.wait_for(1).await.remove(0);
    assert!(callback.header("authorization").starts_with("Basic "), "{callback:?}");
    assert!(!String::from_utf8_lossy(&callback.body).contains("honey"), "the function does not see them");
    let status = platform.gateway.finished(&id).await;
    assert_eq!(status["callbackUrl"], receiver.url.as_str());
}

#[tokio::test]
async fn a_client_that_sends_too_much_still_sees_why_it_is_refused() {
    let platform = Platform::start_with(&["--async-body-limit", "8MB"], [Function::cat()]).await;
    for _ in 0..5 {
        let request = platform.gateway.post("/async-function/cat").body(vec![0_u8; 9_000_000]);
        let answer = answer_to(request).await;
        answer.assert_refused(413);
        assert!(answer.text().contains("SKEP_ASYNC_BODY_LIMIT"), "{answer:?}");
        answer_to(platform.gateway.post("/system/functions").body(vec![b' '; 3_000_000])).await.assert_refused(413);
    }
}

#[tokio::test]
async fn finished_calls_are_not_run_again_when_nats_forgets_their_acks() {
    let platform = Platform::start([Function::counted()]).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(platform.gateway.queue("counted", "x").await);
    }
    for id in &ids {
        platform.gateway.finished(id).await;
    }
    platform.site.processes().into_iter().find(|process| process.is("nats-server")).unwrap().kill();
    wait_until("calls are accepted again", async || {
        platform.gateway.queue_as("after", "counted", "x").await.status == 202
    })
    .await;
    platform.gateway.finished("after").await;
    let mut lane = crate::nats::lane(&platform.site, "counted").await.unwrap();
    wait_until("the lane is empty", async || {
        let info = lane.info().await.unwrap();
        info.num_pending == 0 && info.num_ack_pending == 0
    })
    .await;
    assert_eq!(platform.site.runs().len(), 21, "{:?}", platform.site.runs());
}

#[tokio::test]
async fn published_work_with_a_taken_call_id_does_not_touch_the_call_that_has_it() {
    let platform = Platform::start([Function::gated(), Function::counted()]).await;
    platform.gateway.queue_as("taken", "gated", "x").await;
    platform.gateway.state("taken", "running").await;
    let jetstream = async_nats::jetstream::new(crate::nats::client(&platform.site).await);
    for function in ["counted", "nobody"] {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("X-Call-Id", "taken");
        let subject = format!("skep.publish.{function}");
        jetstream.publish_with_headers(subject, headers, "x".into()).await.unwrap().await.unwrap();
    }
    let dead = crate::nats::stream(&platform.site, "SKEP_DEAD").await;
    wait_until("two dead letters", async || dead.get_info().await.unwrap().state.messages == 2).await;
    platform.site.open_gate();
    let status = platform.gateway.finished("taken").await;
    assert_eq!((&status["state"], &status["function"]), (&"succeeded".into(), &"gated".into()), "{status}");
    assert_eq!(platform.site.runs(), ["taken"]);
}
