//! Events that go on to a program of the developer: what it gets, and what it does not miss.

use futures_util::StreamExt;
use serde_json::json;

use crate::harness::{Function, Platform, Program, Receiver, Relay, Roles, Site, answer_to, payload, wait_until};

#[tokio::test]
async fn a_program_gets_what_came_but_no_secrets_and_the_types_that_it_wants() {
    let platform = Platform::start([Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    gateway.declare("github", json!({ "preset": "github", "routes": [{ "to": "counted" }] })).await;
    let developer = Receiver::start().await;
    let body = payload("push");
    for (kind, delivery) in [("push", "one"), ("ping", "another-ping"), ("push", "two")] {
        let sent = gateway.webhook("github/deep/er?x=1&y=a%20b", kind, delivery, &body);
        let sent = sent.header("Authorization", "Basic c2VjcmV0").header("Cookie", "a=secret");
        assert_eq!(answer_to(sent).await.status, 202);
    }
    let base = developer.url.replace("/hook?a=b", "/base/");
    let arguments = ["sources", "forward", "github", &base, "--last", "2", "--type", "push", "--count", "2"];
    site.client(&arguments).await.said();
    let came = developer.callbacks();
    let ids: Vec<_> = came.iter().map(|came| came.header("x-skep-event-id")).collect();
    assert_eq!(ids, ["one", "two"]);
    for came in &came {
        assert_eq!((came.path.as_str(), &came.body[..]), ("/base/deep/er?x=1&y=a%20b", body.as_bytes()));
        assert_eq!([came.header("authorization"), came.header("cookie")], [""; 2], "{came:?}");
        assert_eq!(came.header("content-type"), "application/json");
        assert_eq!(came.header("content-length"), body.len().to_string());
        assert!(developer.url.contains(came.header("host")), "{came:?}");
    }
}

#[tokio::test]
async fn nothing_is_missed_and_nothing_comes_twice_while_the_gateway_is_away() {
    let mut roles = Roles::start_at(Site::new([Function::counted()]).with_seal_key()).await;
    let gateway = roles.gateway.clone();
    gateway.declare("github", json!({ "preset": "github", "routes": [{ "to": "counted" }] })).await;
    // Its events lie between, and go nowhere.
    gateway.declare("other", json!({ "preset": "github" })).await;
    let relay = Relay::start(gateway.url.strip_prefix("http://").unwrap().parse().unwrap()).await;
    let developer = Receiver::start().await;
    let arguments = ["sources", "forward", "github", &developer.url, "--count", "3"];
    let mut command = roles.site.client_command(&arguments);
    command.env("SKEP_GATEWAY", format!("http://{}", relay.address));
    let mut forward = Program::start("skep", command, roles.site.folder());
    wait_until("it has begun", async || forward.stdout().contains("Press Ctrl-C")).await;
    for (count, delivery) in [(1, "one"), (2, "two")] {
        relay.cut();
        gateway.push("other", delivery).await;
        gateway.push("github", delivery).await;
        relay.mend();
        developer.wait_for(count).await;
    }
    roles.role_gateway.kill();
    roles.role_gateway = roles.site.start_gateway(&[]).await;
    wait_until("the source takes it", async || {
        answer_to(gateway.webhook("github", "push", "three", &payload("push"))).await.status == 202
    })
    .await;
    assert!(forward.ended().await.success(), "{}", forward.stderr());
    let came: Vec<_> = developer.callbacks().iter().map(|came| came.header("x-skep-event-id").to_owned()).collect();
    assert_eq!(came, ["one", "two", "three"]);
}

#[tokio::test]
async fn what_is_no_event_is_passed_over_at_once() {
    let platform = Platform::start([Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    gateway.declare("github", json!({ "preset": "github", "routes": [{ "to": "counted" }] })).await;
    let jetstream = async_nats::jetstream::new(site.nats_client().await);
    // Those of others lie between.
    for subject in (0..60).map(|number| format!("skep.event.other.{number}")).chain(["skep.event.github.broken".into()])
    {
        jetstream.publish(subject, "".into()).await.unwrap().await.unwrap();
    }
    gateway.push("github", "one").await;
    let follow = gateway.get("/system/sources/github/events?follow=true&after=1").send().await.unwrap();
    let mut lines = follow.bytes_stream();
    let first = tokio::time::timeout(std::time::Duration::from_secs(10), lines.next()).await;
    let line = first.expect("it comes at once").unwrap().unwrap();
    assert!(String::from_utf8_lossy(&line).contains(r#""id":"one""#), "{line:?}");
}
