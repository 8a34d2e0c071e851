//! The figures of the installation, as each gateway gives them.

use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::harness::{Function, Gateway, Platform, Roles, answer_to, free_address, wait_for, wait_until};

async fn stats(gateway: &Gateway) -> Value {
    let answer = answer_to(gateway.get("/system/stats")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn row<'stats>(stats: &'stats Value, name: &str) -> Option<&'stats Value> {
    stats["functions"].as_array().unwrap().iter().find(|row| row["name"] == name)
}

/// The events of a stream, one after the other.
struct Events {
    stream: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    text: String,
}

impl Events {
    async fn open(gateway: &Gateway) -> Self {
        let answer = gateway.get("/system/stats/stream").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        Self { stream: Box::pin(answer.bytes_stream()), text: String::new() }
    }

    async fn next(&mut self) -> Value {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.strip_prefix("data: ").map(|data| serde_json::from_str(data).unwrap());
                self.text = rest.to_owned();
                if let Some(data) = data {
                    return data;
                }
                continue;
            }
            let bytes = self.stream.next().await.expect("a further event").unwrap();
            self.text += std::str::from_utf8(&bytes).unwrap();
        }
    }
}

#[tokio::test]
async fn a_gateway_tells_the_calls_of_another_one() {
    let roles = Roles::start([Function::cat()]).await;
    let second = free_address();
    let _other = roles.site.start_gateway_at(second, &[]).await;
    let other = Gateway::new(format!("http://{second}"));
    wait_until("both gateways are live", async || {
        stats(&other).await["state"] == "live" && stats(&roles.gateway).await["state"] == "live"
    })
    .await;
    let mut events = Events::open(&other).await;
    let first = events.next().await;
    assert_eq!((&first["all"], row(&first, "cat").is_some()), (&json!(true), true), "{first}");
    let (mut done, mut has_latency) = (0, false);
    wait_until("calls at the one are seen at the other", async || {
        for _ in 0..5 {
            assert_eq!(roles.gateway.call("cat", "x").await.status, 200);
        }
        let event = events.next().await;
        assert_ne!(event["all"], json!(true), "it was sent once: {event}");
        let Some(cat) = row(&event, "cat") else { return false };
        if let (Some(p50), Some(p95)) = (cat["p50Ms"].as_f64(), cat["p95Ms"].as_f64()) {
            assert!(p50 > 0.0 && p50 <= p95 && event["totals"]["p95Ms"].as_f64() >= Some(p50), "{event}");
            has_latency = true;
        }
        done += cat["done"].as_u64().unwrap_or(0);
        done >= 10 && has_latency
    })
    .await;
    let history = wait_for("a past", async || {
        let answer = answer_to(other.get("/system/stats/history?function=cat")).await.json();
        let is_known = |column: &str| answer[column].as_array().unwrap().iter().any(|each| each.as_f64() > Some(0.0));
        (is_known("rate") && is_known("p95")).then_some(answer)
    })
    .await;
    for column in ["mean", "p50", "p95", "waiting"] {
        assert_eq!(history["at"].as_array().unwrap().len(), history[column].as_array().unwrap().len());
    }
    answer_to(other.get("/system/stats/history?function=A")).await.assert_refused(400);
}

#[tokio::test]
async fn it_says_that_nats_is_away_and_goes_on_by_itself() {
    let mut roles = Roles::start([Function::cat()]).await;
    wait_until("it is live", async || stats(&roles.gateway).await["state"] == "live").await;
    let mut events = Events::open(&roles.gateway).await;
    roles.nats.kill();
    while events.next().await["state"] != "no-nats" {}
    assert!(row(&stats(&roles.gateway).await, "cat").is_some(), "what is known stays");
    roles.nats = roles.site.start_nats().await;
    while events.next().await["state"] != "live" {}
}

#[tokio::test]
async fn it_says_what_queues_and_streams_take_and_what_they_may() {
    let arguments = ["--queue-bytes", "1MB", "--dead-bytes", "2MB"];
    let platform = Platform::start_with(&arguments, [Function::gated()]).await;
    let gateway = &platform.gateway;
    platform.site.client(&["scale", "gated", "0"]).await.said();
    for _ in 0..3 {
        gateway.queue("gated", "waits").await;
    }
    wait_until("the queue's bytes are known", async || {
        let status = answer_to(gateway.get("/system/status")).await.json();
        let gated = &status["functions"][0];
        assert_eq!((&status["queueBytesLimit"], &gated["queueBytesLimit"]), (&json!(1_000_000), &json!(250_000)));
        let known = [&status["queueBytes"], &gated["queueBytes"]].map(|bytes| bytes.as_u64().unwrap_or(0));
        known.iter().all(|bytes| *bytes > 0)
    })
    .await;
    let streams = answer_to(gateway.get("/system/streams")).await.json();
    let stream = |name: &str| streams.as_array().unwrap().iter().find(|stream| stream["name"] == name).unwrap().clone();
    let (invoke, dead) = (stream("SKEP_INVOKE"), stream("SKEP_DEAD"));
    assert!(invoke["messages"].as_u64() > Some(0) && invoke["bytes"].as_u64() > Some(0), "{streams}");
    assert_eq!((&dead["limit"], &dead["refuses"]), (&json!(2_000_000), &json!(false)), "{streams}");
}

#[tokio::test]
async fn functions_come_and_go_and_streams_are_bounded() {
    let platform = Platform::start([]).await;
    let mut events = Events::open(&platform.gateway).await;
    let body = json!({ "service": "cat", "envProcess": "cat" });
    assert_eq!(platform.gateway.send(http::Method::POST, "/system/functions", &body).await.status, 202);
    while row(&events.next().await, "cat").is_none_or(|row| row["ready"] != 1) {}
    let gone = json!({ "functionName": "cat" });
    assert_eq!(platform.gateway.send(http::Method::DELETE, "/system/functions", &gone).await.status, 202);
    while !events.next().await["gone"].as_array().is_some_and(|gone| gone.contains(&json!("cat"))) {}

    let mut more = Vec::new();
    for _ in 1..64 {
        more.push(Events::open(&platform.gateway).await);
    }
    let refused = answer_to(platform.gateway.get("/system/stats/stream")).await;
    refused.assert_refused(503);
    assert_eq!((refused.header("x-skep-error"), refused.header("retry-after")), ("too_many_watchers", "1"));
    drop(more);
    wait_until("a place is free again", async || {
        platform.gateway.get("/system/stats/stream").send().await.unwrap().status() == 200
    })
    .await;
}
