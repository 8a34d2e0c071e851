//! Results that are posted to a URL.

use http::StatusCode;

use crate::harness::{Function, Platform, Receiver, answer_to, free_address, wait_until};

async fn queue(platform: &Platform, function: &str, receiver: &Receiver, body: &'static str) -> String {
    let request = platform.gateway.post(&format!("/async-function/{function}"));
    let answer = answer_to(request.header("X-Callback-Url", &receiver.url).body(body)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.header("x-call-id").to_owned()
}

#[tokio::test]
async fn a_callback_brings_the_answer_and_says_whose_it_is() {
    let typed = Function::cat().env("content_type", "text/x-hive");
    let platform = Platform::start([typed, Function::failing().answers_once()]).await;
    let receiver = Receiver::start().await;
    let good = queue(&platform, "cat", &receiver, "honey").await;
    let callback = receiver.wait_for(1).await.remove(0);
    assert_eq!((callback.path.as_str(), &callback.body[..]), ("/hook?a=b", &b"honey"[..]));
    assert_eq!((callback.header("x-call-id"), callback.header("x-function-name")), (good.as_str(), "cat"));
    assert_eq!((callback.header("x-function-status"), callback.header("content-type")), ("200", "text/x-hive"));
    let seconds = callback.header("x-duration-seconds");
    assert!(
        seconds.parse::<f64>().is_ok() && seconds.split('.').nth(1).is_some_and(|part| part.len() == 6),
        "{seconds}"
    );

    let bad = queue(&platform, "failing", &receiver, "x").await;
    let callback = receiver.wait_for(2).await.remove(1);
    assert_eq!((callback.header("x-call-id"), callback.header("x-function-status")), (bad.as_str(), "500"));
    assert!(String::from_utf8_lossy(&callback.body).contains("sorry"), "{callback:?}");
}

#[tokio::test]
async fn a_callback_that_fails_is_tried_again_and_the_function_is_not() {
    let platform = Platform::start([Function::counted()]).await;
    let receiver = Receiver::refusing(2, StatusCode::INTERNAL_SERVER_ERROR).await;
    let id = queue(&platform, "counted", &receiver, "x").await;
    let callbacks = receiver.wait_for(3).await;
    assert!(callbacks.iter().all(|callback| callback.header("x-call-id") == id && callback.body == "x"));
    platform.gateway.finished(&id).await;
    assert_eq!(platform.site.runs(), [id]);
    let stream = crate::nats::stream(&platform.site, "SKEP_DEAD").await;
    assert_eq!(stream.get_info().await.unwrap().state.messages, 0);
}

#[tokio::test]
async fn a_callback_that_is_never_taken_becomes_a_dead_letter_and_the_result_stays() {
    let platform = Platform::start_with(&["--callback-max-age", "6s"], [Function::cat()]).await;
    let receiver = Receiver::refusing(100, StatusCode::SERVICE_UNAVAILABLE).await;
    let tried = queue(&platform, "cat", &receiver, "x").await;
    receiver.wait_for(2).await;
    let gone = Receiver::refusing(100, StatusCode::GONE).await;
    let refused = queue(&platform, "cat", &gone, "y").await;
    let stream = crate::nats::stream(&platform.site, "SKEP_DEAD").await;
    wait_until("two dead letters", async || stream.get_info().await.unwrap().state.messages == 2).await;
    assert!(receiver.callbacks().len() >= 2, "it was tried again before it was given up");
    assert_eq!(gone.callbacks().len(), 1, "a refusal for good is not repeated");
    for (id, body) in [(tried, "x"), (refused, "y")] {
        assert_eq!(platform.gateway.call_status(&id).await.unwrap()["state"], "succeeded");
        assert_eq!(platform.gateway.result(&id).await.text(), body);
        stream.get_last_raw_message_by_subject(&format!("skep.dead.cat.{id}.callback")).await.unwrap();
    }

    // A call that is dead itself keeps its own letter beside that of its callback.
    platform.gateway.scale("cat", 0).await;
    platform.gateway.wait_for_replicas("cat", 0).await;
    let dead = queue(&platform, "cat", &gone, "z").await;
    let delete = serde_json::json!({ "functionName": "cat" });
    assert_eq!(platform.gateway.send(http::Method::DELETE, "/system/functions", &delete).await.status, 202);
    wait_until("both letters", async || stream.get_info().await.unwrap().state.messages == 4).await;
    for subject in [format!("skep.dead.cat.{dead}"), format!("skep.dead.cat.{dead}.callback")] {
        stream.get_last_raw_message_by_subject(&subject).await.unwrap();
    }
}

#[tokio::test]
async fn a_receiver_that_is_not_there_yet_gets_its_callback_later() {
    let platform = Platform::start([Function::cat()]).await;
    let address = free_address();
    let request = platform.gateway.post("/async-function/cat").header("X-Callback-Url", format!("http://{address}/"));
    let id = answer_to(request.body("patience")).await.header("x-call-id").to_owned();
    wait_until("the first try has failed", async || platform.up.stderr().contains("callback failed")).await;
    let receiver = Receiver::start_at(address).await;
    let callback = receiver.wait_for(1).await.remove(0);
    assert_eq!((callback.header("x-call-id"), &callback.body[..]), (id.as_str(), &b"patience"[..]));
}
