//! Work from other services: a plain NATS client that knows only subjects and headers.

use std::time::Duration;

use async_nats::{
    HeaderMap,
    jetstream::{self, consumer::PullConsumer},
};
use skep_protocol::{FunctionName, lane_of};

use crate::harness::{Function, Platform, Receiver, Roles, Site, wait_for, wait_until};

pub(crate) async fn client(site: &Site) -> async_nats::Client {
    site.nats_client().await
}

/// A stream of the platform, looked at from outside.
pub(crate) async fn stream(site: &Site, name: &str) -> jetstream::stream::Stream {
    jetstream::new(client(site).await).get_stream(name).await.unwrap()
}

/// The lane of a function, once a worker has opened it.
pub(crate) async fn lane(site: &Site, function: &str) -> Option<PullConsumer> {
    let lane = format!("lane-{}", lane_of(&function.parse::<FunctionName>().unwrap()));
    stream(site, "SKEP_INVOKE").await.get_consumer(&lane).await.ok()
}

/// Kills the worker and returns the lane of a function, once it is open and the server knows that no one pulls from it.
pub(crate) async fn lane_without_worker(roles: &mut Roles, function: &str) -> PullConsumer {
    let mut lane = wait_for("its lane is open", async || lane(&roles.site, function).await).await;
    roles.worker.kill();
    wait_until("nobody asks for its calls", async || lane.info().await.unwrap().num_waiting == 0).await;
    lane
}

/// Publishes work and waits for the server's acknowledgement.
async fn publish(site: &Site, function: &str, headers: &[(&str, &str)], body: &'static str) {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, *value);
    }
    let mut jetstream = jetstream::new(client(site).await);
    jetstream.set_timeout(Duration::from_secs(30));
    let published = jetstream.publish_with_headers(format!("skep.publish.{function}"), map, body.into()).await;
    let acknowledgement = published.unwrap().await.unwrap();
    assert_eq!(acknowledgement.stream, "SKEP_PUBLISH");
}

#[tokio::test]
async fn published_work_runs() {
    let platform = Platform::start([Function::counted()]).await;
    let site = &platform.site;
    publish(site, "counted", &[("X-Shade", "blue")], "from afar").await;
    site.wait_for_runs(1).await;
    let id = site.runs().remove(0);
    assert_eq!(platform.gateway.finished(&id).await["state"], "succeeded");
    assert_eq!(platform.gateway.result(&id).await.text(), "from afar");

    // Not even the acknowledgement is asked for.
    let client = client(site).await;
    client.publish("skep.publish.counted", "no questions asked".into()).await.unwrap();
    client.flush().await.unwrap();
    site.wait_for_runs(2).await;
}

#[tokio::test]
async fn published_work_may_name_its_callback_and_its_id() {
    let platform = Platform::start([Function::counted()]).await;
    let receiver = Receiver::start().await;
    let headers = [("X-Call-Id", "order-4711"), ("X-Callback-Url", receiver.url.as_str())];
    publish(&platform.site, "counted", &headers, "x").await;
    let callback = receiver.wait_for(1).await.remove(0);
    assert_eq!((callback.header("x-call-id"), &callback.body[..]), ("order-4711", &b"x"[..]));
    assert_eq!(platform.gateway.finished("order-4711").await["state"], "succeeded");

    publish(&platform.site, "counted", &headers, "x").await;
    publish(&platform.site, "counted", &[("X-Call-Id", "order-4712")], "y").await;
    platform.site.wait_for_runs(2).await;
    let stream = stream(&platform.site, "SKEP_PUBLISH").await;
    wait_for("all is taken up", async || (stream.get_info().await.ok()?.state.messages == 0).then_some(())).await;
    assert_eq!(platform.gateway.finished("order-4712").await["state"], "succeeded");
    assert_eq!(platform.site.runs(), ["order-4711", "order-4712"], "the same id runs once");
}

#[tokio::test]
async fn published_work_that_cannot_run_is_dead_and_not_gone() {
    let platform = Platform::start([Function::cat()]).await;
    let bad = [
        ("unknown", ("X-Call-Id", "no-function"), "not deployed"),
        ("Not_A_Name", ("X-Call-Id", "no-name"), "not valid"),
        ("cat", ("X-Call-Id", "no.id"), "X-Call-Id"),
        ("cat", ("X-Callback-Url", "nowhere"), "X-Callback-Url"),
    ];
    for (number, (function, header, reason)) in bad.into_iter().enumerate() {
        publish(&platform.site, function, &[header], "kept").await;
        let stream = stream(&platform.site, "SKEP_DEAD").await;
        let letter = wait_for("the dead letter", async || {
            let info = stream.get_info().await.ok()?;
            (info.state.messages == number as u64 + 1).then_some(())?;
            stream.get_raw_message(info.state.last_sequence).await.ok()
        })
        .await;
        assert_eq!(letter.payload, "kept");
        assert!(letter.subject.starts_with(&format!("skep.dead.{function}.")), "{}", letter.subject);
        let reported = format!("{:?}", letter.headers);
        assert!(reported.contains(reason), "{reported}");
    }
    for id in ["no-function", "no-name"] {
        let status = platform.gateway.finished(id).await;
        assert_eq!(status["state"], "dead", "{status}");
    }
}

#[tokio::test]
async fn a_request_over_nats_is_answered() {
    let platform = Platform::start([Function::cat(), Function::new("failing", "sh -c 'echo sorry; exit 3'")]).await;
    let client = client(&platform.site).await;
    let answer = client.request("skep.call.cat", "hello".into()).await.unwrap();
    assert_eq!(answer.payload, "hello");
    let header = |message: &async_nats::Message, name: &str| {
        message.headers.as_ref().and_then(|headers| headers.get(name)).map(|value| value.to_string())
    };
    assert!(header(&answer, "X-Call-Id").is_some_and(|id| !id.is_empty()), "{:?}", answer.headers);
    assert_eq!(header(&answer, "Nats-Service-Error-Code"), None);

    let mut own = HeaderMap::new();
    own.insert("X-Call-Id", "asked-1");
    let answer = client.request_with_headers("skep.call.cat", own, "x".into()).await.unwrap();
    assert_eq!(header(&answer, "X-Call-Id").as_deref(), Some("asked-1"));

    let failed = client.request("skep.call.failing", "x".into()).await.unwrap();
    assert_eq!(header(&failed, "Skep-Status").as_deref(), Some("500"));
    assert!(String::from_utf8_lossy(&failed.payload).contains("sorry"), "{failed:?}");

    for (function, code) in [("unknown", "404"), ("Not_A_Name", "400")] {
        let refused = client.request(format!("skep.call.{function}"), "x".into()).await.unwrap();
        assert_eq!(header(&refused, "Nats-Service-Error-Code").as_deref(), Some(code), "{refused:?}");
        assert!(header(&refused, "Nats-Service-Error").is_some_and(|reason| !reason.is_empty()), "{refused:?}");
    }
}

#[tokio::test]
async fn a_publisher_cannot_say_what_only_skep_says() {
    let platform = Platform::start([Function::echo_http()]).await;
    let forged = [
        ("X-Call-Id", "published-1"),
        ("Connection", "X-Call-Id, X-Kept, Content-Type"),
        ("X-Kept", "not kept, as over HTTP"),
        ("Content-Type", "text/x-hive"),
        ("X-Skep-Callback-Of", "another"),
        ("X-Skep-Error", "dead"),
        ("X-Function-Status", "500"),
    ];
    publish(&platform.site, "echo", &forged, "x").await;
    wait_until("it is a call", async || platform.gateway.call_status("published-1").await.is_some()).await;
    assert_eq!(platform.gateway.finished("published-1").await["state"], "succeeded");
    let mut map = HeaderMap::new();
    forged.iter().for_each(|(name, value)| map.insert(*name, *value));
    let queued = platform.gateway.result("published-1").await.json();
    let answer = client(&platform.site).await.request_with_headers("skep.call.echo", map, "x".into()).await.unwrap();
    let called: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
    for reported in [queued, called] {
        let headers = reported["headers"].as_object().unwrap();
        let names: Vec<String> = headers.keys().map(|name| name.to_lowercase()).collect();
        let has = |name: &str| names.iter().any(|known| known == name);
        assert!(has("x-call-id") && has("content-type") && !has("connection"), "{reported}");
        for gone in ["x-kept", "x-skep-callback-of", "x-skep-error", "x-function-status"] {
            assert!(!has(gone), "{gone}: {reported}");
        }
    }
}
