//! Calls that are handed out again and again and come to no end.

use std::time::Duration;

use async_nats::jetstream::AckKind;
use futures_util::StreamExt;

use crate::{
    harness::{Function, Roles, Site, wait_for, wait_until},
    nats,
};

async fn messages(site: &Site, stream: &str) -> u64 {
    nats::stream(site, stream).await.get_info().await.unwrap().state.messages
}

/// Takes the one call of a lane this many times and gives it back each time, like a worker that has no room for it.
///
/// For the server it is the same whether a worker gives a call back or dies: it hands it out once more.
async fn hand_out(site: &Site, function: &str, times: usize) {
    let consumer = nats::lane(site, function).await.unwrap();
    for _ in 0..times {
        let pulled = consumer.batch().max_messages(1).expires(Duration::from_secs(60)).messages().await;
        let message = pulled.unwrap().next().await.unwrap().unwrap();
        message.double_ack_with(AckKind::Nak(None)).await.unwrap();
    }
}

/// Queues a call while no worker is there.
async fn queued() -> (Roles, String) {
    let mut roles = Roles::start([Function::gated()]).await;
    nats::lane_without_worker(&mut roles, "gated").await;
    let id = roles.gateway.queue("gated", "x").await;
    (roles, id)
}

#[tokio::test]
async fn a_call_that_is_given_back_often_leaves_its_lane() {
    let (mut roles, id) = queued().await;
    roles.gateway.scale("gated", 0).await;
    roles.gateway.wait_for_replicas("gated", 0).await;
    hand_out(&roles.site, "gated", 20).await;
    roles.worker = roles.site.start_worker().await;
    wait_until("it has left its lane", async || messages(&roles.site, "SKEP_INVOKE").await == 0).await;
    assert_eq!(roles.gateway.call_status(&id).await.unwrap()["state"], "queued");
    roles.site.open_gate();
    roles.gateway.scale("gated", 1).await;
    let status = roles.gateway.finished(&id).await;
    assert_eq!((&status["state"], &status["attempts"]), (&"succeeded".into(), &1.into()), "{status}");
    assert_eq!(roles.site.runs(), [id]);
}

#[tokio::test]
async fn a_call_whose_worker_is_always_gone_becomes_a_dead_letter() {
    let (mut roles, id) = queued().await;
    // No call is given back this often.
    hand_out(&roles.site, "gated", 30).await;
    roles.worker = roles.site.start_worker().await;
    let status = roles.gateway.finished(&id).await;
    assert_eq!(status["state"], "dead", "{status}");
    assert!(status["reason"].as_str().unwrap().starts_with("10 times in a row the queue-worker"), "{status}");
    assert_eq!(messages(&roles.site, "SKEP_DEAD").await, 1);
    assert!(roles.site.runs().is_empty());
}

#[tokio::test]
async fn a_long_call_whose_worker_is_always_gone_becomes_a_dead_letter() {
    let (mut roles, id) = queued().await;
    let start = async |site: &Site| site.start_worker_with(site.worker_admin, &["--long-after", "1s"]).await;
    roles.worker = start(&roles.site).await;
    let subject = format!("skep.delayed.wait.gated.{id}");
    for begun in 1..=10 {
        wait_for("it has left its lane", async || {
            let delayed = nats::stream(&roles.site, "SKEP_DELAYED").await;
            let schedule = delayed.get_last_raw_message_by_subject(&subject).await.ok()?;
            (schedule.headers.get("Skep-Interruptions")?.as_str() == begun.to_string()).then_some(())
        })
        .await;
        roles.site.wait_for_runs(begun).await;
        roles.worker.kill();
        roles.worker = start(&roles.site).await;
    }
    let status = roles.gateway.finished(&id).await;
    assert_eq!(status["state"], "dead", "{status}");
    assert!(status["reason"].as_str().unwrap().starts_with("10 times in a row the queue-worker"), "{status}");
    assert_eq!(roles.site.runs(), vec![id; 10]);
}
