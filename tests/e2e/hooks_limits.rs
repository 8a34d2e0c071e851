//! Senders that take time or memory before they have proven who they are.

use std::time::Instant;

use async_nats::jetstream;
use http::Method;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    harness::{Function, Platform, answer_to, raw, wait_for, wait_until},
    nats::client,
};

const MIB: usize = 1 << 20;
/// More than fit into the room for bodies that are not verified.
const STRANGERS: usize = 140;

#[tokio::test]
async fn a_sender_that_stalls_is_given_up() {
    let platform = Platform::start([Function::counted()]).await;
    platform.gateway.declare("github", json!({ "preset": "github", "routes": [{ "to": "counted" }] })).await;
    let begun = Instant::now();
    let half = "POST /hooks/github HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf";
    let mut stream = raw::send(platform.site.listen, half).await;
    let answer = raw::rest_of(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.to_lowercase().contains("x-skep-error: slow_body"), "{answer}");
    // An answer at once would be that of a request that is refused, and not of one that stalls.
    assert!(begun.elapsed().as_secs() > 5, "{answer}");
}

/// A request that lacks its last byte.
async fn almost_sent(platform: &Platform) -> TcpStream {
    let head = format!("POST /hooks/github HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MIB}\r\n\r\n");
    let mut stream = raw::send(platform.site.listen, head).await;
    // One that is refused may be closed before all is written.
    let _ = stream.write_all(&vec![b'x'; MIB - 1]).await;
    stream
}

#[tokio::test]
async fn strangers_cannot_take_all_memory_and_small_webhooks_pass_meanwhile() {
    let platform = Platform::start([Function::counted()]).await;
    let gateway = &platform.gateway;
    let routes = json!([{ "to": "counted", "filter": { "type": "push" } }]);
    gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(MIB / 2));
    let send = |delivery: &str, body: &str| answer_to(gateway.webhook("github", "ping", delivery, body));
    assert_eq!(send("before", &large).await.status, 202);
    let mut strangers = Vec::new();
    for _ in 0..STRANGERS {
        strangers.push(almost_sent(&platform).await);
    }
    let refused = {
        let mut last = send("large", &large).await;
        wait_until("a large body is refused", async || {
            last = send("large", &large).await;
            last.status == 503
        })
        .await;
        last
    };
    refused.assert_refused(503);
    assert_eq!((refused.header("x-skep-error"), refused.header("retry-after")), ("too_many_unverified", "1"));
    assert_eq!(send("small", "{}").await.status, 202);
    drop(strangers);
    wait_until("a large body is taken again", async || send("after", &large).await.status == 202).await;
}

#[tokio::test]
async fn a_full_queue_refuses_events_until_there_is_room() {
    let arguments = ["--queue-bytes", "100KB", "--queue-bytes-per-function", "1MB"];
    let platform = Platform::start_with(&arguments, [Function::gated()]).await;
    let gateway = &platform.gateway;
    let routes = json!([{ "to": "gated", "filter": { "type": "push" } }]);
    gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    let body = format!("{{\"text\":\"{}\"}}", "x".repeat(10_000));
    let mut sent = 0;
    let refused = wait_for("an event is refused", async || {
        sent += 1;
        let answer = answer_to(gateway.webhook("github", "push", &format!("push-{sent}"), &body)).await;
        Some(answer).filter(|answer| answer.status != 202)
    })
    .await;
    refused.assert_refused(503);
    assert_eq!(refused.header("x-skep-error"), "queue_full");
    assert!(!refused.header("retry-after").is_empty(), "{refused:?}");
    platform.site.open_gate();
    // The sender tries again, and it is the event that it was.
    wait_until("there is room", async || {
        answer_to(gateway.webhook("github", "push", &format!("push-{sent}"), &body)).await.status == 202
    })
    .await;
    let metrics = crate::harness::metrics_of(platform.site.admin).await;
    for name in ["gateway_source_seconds_count{source=\"github\"} ", "queue_worker_route_age_seconds_count "] {
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)).and_then(|text| text.parse::<u64>().ok());
        assert!(value.is_some_and(|value| value > 0), "{name} is not in {metrics}");
    }
}

#[tokio::test]
async fn a_declaration_of_another_version_refuses_its_senders_for_a_while() {
    let platform = Platform::start([Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    gateway.declare("github", json!({ "preset": "github", "routes": [{ "to": "counted" }] })).await;
    let sources = jetstream::new(client(site).await).get_key_value("SKEP_SOURCES").await.unwrap();
    let known = sources.get("spec.github").await.unwrap().unwrap();
    let later = String::from_utf8(known.to_vec()).unwrap().replace("\"routes\"", "\"of_a_later_version\"");
    sources.put("spec.github", later.into()).await.unwrap();
    let refused = wait_for("it cannot be used", async || {
        let answer = answer_to(gateway.webhook("github", "push", "one", "{}")).await;
        Some(answer).filter(|answer| answer.status != 202)
    })
    .await;
    refused.assert_refused(503);
    assert_eq!(refused.header("x-skep-error"), "source_unusable");
    let shown = answer_to(gateway.get("/system/sources/github")).await.json();
    assert!(shown["problem"].as_str().unwrap().contains("of_a_later_version"), "{shown}");
    sources.put("spec.github", known).await.unwrap();
    gateway.wait_for_source("github").await;
}

#[tokio::test]
async fn samples_are_bounded_and_the_error_says_what_to_do() {
    let platform = Platform::start([Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    gateway.declare("github", json!({ "preset": "github", "routes": [{ "to": "counted" }] })).await;
    let context = jetstream::new(client(site).await);
    let mut samples = context.get_stream("SKEP_SAMPLES").await.unwrap().cached_info().config.clone();
    assert_eq!(samples.max_messages, 1000);
    samples.max_messages = 2;
    context.update_stream(samples).await.unwrap();
    let keep = async |label: &str| {
        let path = format!("/system/sources/github/samples/{label}");
        gateway.send(Method::PUT, &path, &json!({ "event": "ping" })).await
    };
    assert_eq!((keep("one").await.status, keep("two").await.status), (201, 201));
    let refused = keep("three").await;
    refused.assert_refused(409);
    assert!(refused.text().contains("--remove LABEL"), "{refused:?}");
    assert_eq!(gateway.send(Method::DELETE, "/system/sources/github/samples/one", &json!({})).await.status, 200);
    assert_eq!(keep("three").await.status, 201);
}
