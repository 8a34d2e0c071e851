//! What is kept keeps to its budget, so the disk stays steady.

use async_nats::jetstream;

use crate::{
    harness::{Function, Platform, Receiver, Site, answer_to, wait_until},
    nats,
};

const BUDGET: u64 = 100_000;

async fn bytes(site: &Site, stream: &str) -> u64 {
    nats::stream(site, stream).await.get_info().await.unwrap().state.bytes
}

fn sick() -> Function {
    Function::new("sick", "sh -c 'cat >/dev/null; exit 1'").annotation("com.openfaas.retry.attempts", "1")
}

#[tokio::test]
async fn results_and_letters_keep_to_their_bytes_and_the_oldest_go_first() {
    let arguments = ["--result-bytes", "100KB", "--dead-bytes", "100KB"];
    let platform = Platform::start_with(&arguments, [Function::cat(), sick()]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for _ in 0..150 {
        good.push(gateway.queue("cat", "x".repeat(1000)).await);
        bad.push(gateway.queue("sick", "x".repeat(1000)).await);
    }
    for id in good.iter().chain(&bad).rev() {
        wait_until("it has ended", async || {
            // The oldest may have gone before.
            gateway
                .call_status(id)
                .await
                .is_none_or(|status| ["succeeded", "dead"].contains(&status["state"].as_str().unwrap()))
        })
        .await;
    }
    for stream in ["SKEP_CALLS", "SKEP_DEAD"] {
        wait_until("it keeps to its budget", async || bytes(site, stream).await <= BUDGET).await;
        assert!(bytes(site, stream).await > BUDGET / 2, "no more went than had to");
    }
    wait_until("nothing of what has ended is left in the queue", async || bytes(site, "SKEP_INVOKE").await == 0).await;
    assert!(gateway.call_status(&good[0]).await.is_none(), "the oldest has gone");
    let letters = answer_to(gateway.get("/system/dead?limit=1000")).await.json();
    let ids: Vec<&str> = letters.as_array().unwrap().iter().map(|letter| letter["callId"].as_str().unwrap()).collect();
    assert!(!ids.contains(&bad[0].as_str()) && ids.len() < bad.len(), "{}", ids.len());
}

#[tokio::test]
async fn a_result_whose_callback_waits_is_kept_whatever_the_budget() {
    let platform = Platform::start_with(&["--result-bytes", "100KB"], [Function::cat()]).await;
    let gateway = &platform.gateway;
    let address = crate::harness::free_address();
    let request = gateway.post("/async-function/cat").header("X-Callback-Url", format!("http://{address}/"));
    let waits = answer_to(request.body("honey")).await.header("x-call-id").to_owned();
    gateway.finished(&waits).await;
    for _ in 0..200 {
        let id = gateway.queue("cat", "x".repeat(1000)).await;
        gateway.finished(&id).await;
    }
    let receiver = Receiver::start_at(address).await;
    assert_eq!(receiver.wait_for(1).await[0].header("x-call-id"), waits);
    wait_until("then it keeps to it", async || bytes(&platform.site, "SKEP_CALLS").await <= BUDGET).await;
}

#[tokio::test]
async fn letters_keep_to_their_age() {
    let platform = Platform::start_with(&["--dead-ttl", "3s"], [sick()]).await;
    let id = platform.gateway.queue("sick", "x").await;
    assert_eq!(platform.gateway.finished(&id).await["state"], "dead");
    wait_until("the letter has gone", async || bytes(&platform.site, "SKEP_DEAD").await == 0).await;
}

#[tokio::test]
async fn published_work_beyond_its_budget_is_refused_to_the_publisher() {
    let site = Site::new([]);
    let _nats = site.start_nats().await;
    // Nobody takes it up.
    let _gateway = site.start_gateway(&["--publish-bytes", "10KB"]).await;
    let jetstream = jetstream::new(nats::client(&site).await);
    let mut stored = 0;
    wait_until("it is refused", async || {
        let published = jetstream.publish("skep.publish.cat", "x".repeat(1000).into()).await.unwrap().await;
        stored += usize::from(published.is_ok());
        published.is_err()
    })
    .await;
    assert!((5..10).contains(&stored), "{stored}");
}
