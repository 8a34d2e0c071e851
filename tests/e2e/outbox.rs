//! Callbacks as an outbox: where they may go, that one receiver harms no other, that they are signed, and that they survive.

use async_nats::jetstream::{
    self,
    stream::{Config, DiscardPolicy},
};
use futures_util::StreamExt;
use http::StatusCode;
use standardwebhooks::Webhook;
use tokio::net::TcpListener;

use crate::{
    harness::{Function, Gateway, Platform, Receiver, answer_to, free_address, wait_for, wait_until},
    nats,
};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn queue(gateway: &Gateway, callback: &str, headers: &[(&str, &str)]) -> String {
    let mut request = gateway.post("/async-function/cat").header("X-Callback-Url", callback);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = answer_to(request.body("honey")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.header("x-call-id").to_owned()
}

async fn reason_of_letter(platform: &Platform, id: &str) -> String {
    let stream = nats::stream(&platform.site, "SKEP_DEAD").await;
    wait_until("the letter", async || stream.get_info().await.unwrap().state.messages > 0).await;
    let letter = stream.get_last_raw_message_by_subject(&format!("skep.dead.cat.{id}.callback")).await.unwrap();
    letter.headers.get("Skep-Reason").unwrap().to_string()
}

#[tokio::test]
async fn a_callback_goes_nowhere_that_is_not_allowed() {
    let platform = Platform::start_with(&["--callback-allow", "192.0.2.7"], [Function::cat()]).await;
    let receiver = Receiver::start().await;
    let port = receiver.url.rsplit_once(':').unwrap().1;
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0"] {
        let id = queue(&platform.gateway, &format!("http://{host}:{port}"), &[]).await;
        assert_eq!(platform.gateway.finished(&id).await["state"], "succeeded");
        let stream = nats::stream(&platform.site, "SKEP_DEAD").await;
        let subject = format!("skep.dead.cat.{id}.callback");
        wait_until("the letter", async || stream.get_last_raw_message_by_subject(&subject).await.is_ok()).await;
        let reason = reason_of_letter(&platform, &id).await;
        assert!(reason.contains("not allowed") && reason.contains("--callback-allow"), "{reason}");
    }
    assert!(receiver.callbacks().is_empty());
}

#[tokio::test]
async fn a_receiver_that_never_answers_slows_nobody() {
    let platform = Platform::start([Function::cat()]).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    // More than are under way at once to all receivers together; one try takes 30 s.
    for _ in 0..300 {
        queue(&platform.gateway, &url, &[]).await;
    }
    let receiver = Receiver::start().await;
    let id = queue(&platform.gateway, &receiver.url, &[]).await;
    let callback = receiver.wait_for(1).await.remove(0);
    assert_eq!(callback.header("x-call-id"), id);
    let dead = nats::stream(&platform.site, "SKEP_DEAD").await;
    assert_eq!(dead.get_info().await.unwrap().state.messages, 0, "the silent one has not been given up meanwhile");
}

#[tokio::test]
async fn callbacks_are_signed_and_their_id_stays() {
    let site_keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(site_keys.path(), format!("{KEY}\n")).unwrap();
    let file = site_keys.path().to_str().unwrap();
    let platform = Platform::start_with(&["--callback-key-file", file], [Function::cat()]).await;
    let receiver = Receiver::refusing(1, StatusCode::SERVICE_UNAVAILABLE).await;
    let id = queue(&platform.gateway, &receiver.url, &[]).await;
    let verifier = Webhook::new(KEY).unwrap();
    for callback in receiver.wait_for(2).await {
        verifier.verify(&callback.body, &callback.headers).unwrap();
        assert_eq!(callback.header("webhook-id"), id);
    }
}

#[tokio::test]
async fn the_callers_headers_come_back_when_asked_for() {
    let platform = Platform::start([Function::cat()]).await;
    let receiver = Receiver::start().await;
    let headers = [
        ("X-Order", "7"),
        ("X-Trace", "abc"),
        ("X-Private", "p"),
        ("X-Skep-Callback-Headers", "x-order, X-Trace, x-missing, content-length"),
    ];
    queue(&platform.gateway, &receiver.url, &headers).await;
    let callback = receiver.wait_for(1).await.remove(0);
    assert_eq!((callback.header("x-order"), callback.header("x-trace")), ("7", "abc"));
    assert_eq!((callback.header("x-private"), callback.header("content-length")), ("", "5"));
}

#[tokio::test]
async fn a_callback_may_be_a_call_of_another_function() {
    let platform = Platform::start([Function::cat(), Function::counted()]).await;
    let id = queue(&platform.gateway, "skep://counted/next?x=1", &[]).await;
    let next = platform.gateway.state(&format!("{id}-callback"), "succeeded").await;
    assert_eq!(next["function"], "counted");
    assert_eq!(platform.gateway.result(&format!("{id}-callback")).await.text(), "honey");
    assert_eq!(platform.site.runs(), [format!("{id}-callback")]);
}

#[tokio::test]
async fn a_callback_may_be_published() {
    let platform = Platform::start([Function::cat()]).await;
    let mut received = nats::client(&platform.site).await.subscribe("callback.orders").await.unwrap();
    // The first one may be published before the server knows of the subscription; then it is published again.
    let id = queue(&platform.gateway, "nats://callback.orders", &[]).await;
    let message = received.next().await.unwrap();
    let headers = message.headers.unwrap();
    assert_eq!((&message.payload[..], headers.get("X-Call-Id").unwrap().as_str()), (&b"honey"[..], id.as_str()));
    assert_eq!(headers.get("X-Function-Status").unwrap().as_str(), "200");

    let elsewhere = queue(&platform.gateway, "nats://skep.control.delete", &[]).await;
    let reason = reason_of_letter(&platform, &elsewhere).await;
    assert!(reason.contains("--callback-subjects"), "{reason}");
}

#[tokio::test]
async fn an_answer_that_a_stream_does_not_take_is_published_again() {
    let platform = Platform::start([Function::cat()]).await;
    let jetstream = jetstream::new(nats::client(&platform.site).await);
    let orders = Config {
        name: "ORDERS".to_owned(),
        subjects: vec!["callback.orders".to_owned()],
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        ..Config::default()
    };
    let orders = jetstream.create_stream(orders).await.unwrap();
    jetstream.publish("callback.orders", "the one before".into()).await.unwrap().await.unwrap();
    queue(&platform.gateway, "nats://callback.orders", &[]).await;
    wait_until("it is refused", async || platform.up.stderr().contains("callback failed")).await;
    orders.purge().await.unwrap();
    let message = wait_for("the answer", async || orders.get_last_raw_message_by_subject("callback.orders").await.ok());
    assert_eq!(&message.await.payload[..], b"honey");
}

#[tokio::test]
async fn a_callback_that_waits_survives_a_kill() {
    let mut platform = Platform::start([Function::cat()]).await;
    let address = free_address();
    let id = queue(&platform.gateway, &format!("http://{address}/"), &[]).await;
    wait_until("the first try has failed", async || platform.up.stderr().contains("callback failed")).await;
    platform.up.kill();
    wait_until("all processes are gone", async || platform.site.processes().is_empty()).await;
    let receiver = Receiver::start_at(address).await;
    platform.up = platform.site.up(&[]).await;
    let callback = receiver.wait_for(1).await.remove(0);
    assert_eq!((callback.header("x-call-id"), &callback.body[..]), (id.as_str(), &b"honey"[..]));
}
