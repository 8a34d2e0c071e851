//! Messages on subjects that nobody stores: each becomes an event, and a sender that asks gets an answer.

use async_nats::{Client, HeaderMap};
use http::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Function, Gateway, Platform, Roles, Site, answer_to, free_address, wait_for, wait_until},
    nats::client,
};

impl Gateway {
    /// Declares a source of messages.
    pub(crate) async fn listen_to(&self, name: &str, mut spec: Value) {
        spec["name"] = name.into();
        let answer = self.send(Method::POST, "/system/sources", &spec).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Waits until a queue-worker listens for it, and says how it is.
    pub(crate) async fn heard_source(&self, name: &str) -> Value {
        wait_for("a queue-worker listens", async || {
            let listed = answer_to(self.get(&format!("/system/sources/{name}"))).await.json();
            (listed.get("problem").is_none()).then_some(listed)
        })
        .await
    }

    pub(crate) async fn source(&self, name: &str) -> Value {
        answer_to(self.get(&format!("/system/sources/{name}"))).await.json()
    }

    /// The events of a source, the newest first.
    pub(crate) async fn events(&self, name: &str) -> Vec<Value> {
        let answer = answer_to(self.get(&format!("/system/sources/{name}/events?limit=1000"))).await;
        answer.json()["events"].as_array().unwrap().clone()
    }

    pub(crate) async fn wait_for_events(&self, name: &str, count: usize) -> Vec<Value> {
        wait_for(&format!("{count} events of {name}"), async || {
            Some(self.events(name).await).filter(|events| events.len() >= count)
        })
        .await
    }
}

/// Asks until somebody listens, and returns the id of the event.
async fn event_of(client: &Client, subject: &'static str, headers: HeaderMap, body: &'static str) -> String {
    let answer = wait_for("somebody answers", async || {
        client.request_with_headers(subject, headers.clone(), body.into()).await.ok()
    })
    .await;
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    answer["event"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// Writes what it gets of the event to the file `runs`.
fn telling(name: &str) -> Function {
    let script = r#"echo "$Http_X_Skep_Event_Type $Http_X_Topic $Http_X_Own $Http_Nats_Msg_Id $Http_X_Skep_Hops $(cat)" >> runs"#;
    Function::new(name, &format!("sh -c '{script}'"))
}

fn headers(given: &[(&str, &str)]) -> HeaderMap {
    given
        .iter()
        .map(|(name, value)| ((*name).parse::<async_nats::HeaderName>().unwrap(), (*value).parse().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_message_becomes_an_event_and_its_sender_is_told_the_id() {
    let roles = Roles::start([telling("invoice")]).await;
    let gateway = &roles.gateway;
    gateway.listen_to("orders", json!({ "nats": { "subjects": ["orders.*"] }, "routes": [{ "to": "invoice" }] })).await;
    gateway.heard_source("orders").await;
    let client = client(&roles.site).await;
    let sent = headers(&[("Nats-Msg-Id", "order-1"), ("X-Own", "yes"), ("X-Skep-Verified", "signature")]);
    let id = event_of(&client, "orders.New", sent.clone(), "one").await;
    assert_eq!(id, "order-1");
    // The same again is a duplicate, and answered in the same way.
    assert_eq!(event_of(&client, "orders.New", sent, "one").await, id);
    roles.site.wait_for_runs(1).await;
    assert_eq!(roles.site.runs(), ["orders.New orders.New yes  0 one"]);
    let event = gateway.routed_event("orders", &id).await;
    assert_eq!((&event["type"], &event["verified"]), (&json!("orders.New"), &json!("none")), "{event}");
    // Without a name of its own each message is an event.
    client.publish("orders.new", "two".into()).await.unwrap();
    client.publish("orders.new", "two".into()).await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(gateway.wait_for_events("orders", 3).await.len(), 3);
    gateway.wait_for_duplicates("orders", 1).await;
    let metrics = answer_to(Gateway::new(format!("http://{}", roles.site.worker_admin)).get("/metrics")).await.text();
    assert!(
        metrics.contains(r#"queue_worker_source_messages_total{outcome="duplicate",source="orders"} 1"#),
        "{metrics}"
    );
    let paused = gateway.send(Method::POST, "/system/sources/orders/pause", &json!({})).await;
    assert_eq!(paused.status, 200, "{paused:?}");
    let waiting = wait_for("an event waits", async || {
        let id = event_of(&client, "orders.paused", HeaderMap::new(), "three").await;
        let event = answer_to(gateway.get(&format!("/system/sources/orders/events/{id}"))).await.json();
        (event["outcome"] == "paused").then_some(event)
    })
    .await;
    assert_eq!(waiting["calls"], json!([]), "{waiting}");
}

#[tokio::test]
async fn two_workers_share_the_messages_and_each_is_one_event() {
    let roles = Roles::start([Function::counted()]).await;
    let other = roles.site.start_worker_with(free_address(), &[]).await;
    let gateway = &roles.gateway;
    gateway.listen_to("orders", json!({ "nats": { "subjects": ["orders.>"] }, "routes": [{ "to": "counted" }] })).await;
    let client = client(&roles.site).await;
    event_of(&client, "orders.first", HeaderMap::new(), "").await;
    for number in 0..200 {
        client.publish(format!("orders.{number}"), "".into()).await.unwrap();
    }
    client.flush().await.unwrap();
    roles.site.wait_for_runs(201).await;
    assert_eq!(gateway.events("orders").await.len(), 201);
    drop(other);
}

#[tokio::test]
async fn what_would_take_skeps_own_messages_is_refused() {
    let roles = Roles::start([]).await;
    for (nats, expected) in [
        (json!({ "subjects": ["skep.event.>"] }), "nats.subjects[0]: skep.event.> is one of skep's own subjects"),
        (json!({ "subjects": [">"] }), "matches every message"),
        (json!({ "subjects": ["$SYS.>"] }), "begins with $"),
        (json!({ "stream": "SKEP_EVENTS" }), "nats.stream: SKEP_EVENTS is skep's own"),
        (
            json!({ "subjects": ["*.control.*"], "capture": true }),
            "*.control.* cannot be captured: a NATS server stores",
        ),
        (json!({ "subject": "a" }), "unknown field `subject`"),
    ] {
        let answer = roles.gateway.send(Method::POST, "/system/sources", &json!({ "name": "own", "nats": nats })).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.text().contains(expected), "{answer:?}");
    }
    // A wildcard that stands for skep's prefix hears nothing of it.
    roles.gateway.listen_to("any", json!({ "nats": { "subjects": ["*.queue-workers", "*.x"] } })).await;
    roles.gateway.heard_source("any").await;
    let client = client(&roles.site).await;
    client.publish("skep.x", "".into()).await.unwrap();
    let id = event_of(&client, "a.x", HeaderMap::new(), "").await;
    let events = roles.gateway.wait_for_events("any", 1).await;
    assert_eq!((events.len(), &events[0]["id"]), (1, &json!(id)));
}

#[tokio::test]
async fn functions_take_events_of_any_source_by_their_topics() {
    let annotated = |name: &str, topic: &str| telling(name).annotation("topic", topic);
    let site = Site::new([
        annotated("by-subject", "orders.*"),
        annotated("by-source", "shop, cron-function").annotation("schedule", "0 0 1 1 *"),
        annotated("by-type", "github.push"),
        annotated("by-route", "shop.>"),
    ]);
    let roles = Roles::start_at(site.with_seal_key()).await;
    let gateway = &roles.gateway;
    gateway.listen_to("shop", json!({ "nats": { "subjects": ["orders.>"] }, "routes": [{ "to": "by-route" }] })).await;
    let client = client(&roles.site).await;
    let id = event_of(&client, "orders.new", HeaderMap::new(), "").await;
    let routes = |event: &Value| {
        let calls = event["calls"].as_array().unwrap();
        let mut routes: Vec<_> = calls.iter().map(|call| call["route"].as_str().unwrap().to_owned()).collect();
        routes.sort();
        routes
    };
    // A function that a route names gets the event once.
    let expected = ["by-route", "topic_by-source", "topic_by-subject"];
    assert_eq!(routes(&gateway.routed_event("shop", &id).await), expected);
    gateway.declare("github", json!({ "preset": "github" })).await;
    gateway.push("github", "delivery-1").await;
    assert_eq!(routes(&gateway.routed_event("github", "delivery-1").await), ["topic_by-type"]);
    let tried = json!({ "headers": { "X-GitHub-Event": "push" }, "text": "{}" });
    let tried = gateway.send(Method::POST, "/system/sources/github/try", &tried).await;
    assert!(tried.text().contains("by-type"), "{tried:?}");
}

#[tokio::test]
async fn functions_that_trigger_each_other_end_in_a_dead_letter() {
    let platform = Platform::start_with(&["--callback-subjects", "loop.>"], [telling("again")]).await;
    let gateway = &platform.gateway;
    let route = json!({ "to": "again", "callback": "nats://loop.again" });
    gateway.listen_to("loop", json!({ "nats": { "subjects": ["loop.>"] }, "routes": [route] })).await;
    let client = client(&platform.site).await;
    event_of(&client, "loop.begin", HeaderMap::new(), "").await;
    let letters = wait_for("a dead letter", async || {
        let letters = answer_to(gateway.get("/system/dead")).await.json();
        letters.as_array().filter(|letters| !letters.is_empty()).cloned()
    })
    .await;
    assert_eq!(letters[0]["reason"], "17 hops: functions trigger each other", "{letters:?}");
    assert_eq!((letters.len(), platform.site.runs().len()), (1, 17));
    // A publisher with that header adds one, too.
    let sent = headers(&[("Skep-Hops", "16")]);
    client.publish_with_headers("skep.publish.again", sent, "".into()).await.unwrap();
    wait_until("published work is dead, too", async || {
        answer_to(gateway.get("/system/dead")).await.json().as_array().unwrap().len() == 2
    })
    .await;
}

#[tokio::test]
async fn cloudevents_come_over_nats_as_well() {
    let roles = Roles::start([telling("audit")]).await;
    roles.gateway.listen_to("events", json!({ "nats": { "subjects": ["ce"] }, "routes": [{ "to": "audit" }] })).await;
    let client = client(&roles.site).await;
    let binary = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/shop"), ("ce-type", "order.created")];
    let id = event_of(&client, "ce", headers(&binary), "{}").await;
    let structured = r#"{"specversion":"1.0","id":"1","source":"/shop","type":"order.created","data":{}}"#;
    let kind = headers(&[("Content-Type", "application/cloudevents+json")]);
    assert_eq!(event_of(&client, "ce", kind.clone(), structured).await, id, "source and id are the identity");
    assert_eq!(roles.gateway.routed_event("events", &id).await["type"], "order.created");
    // What only looks like one is an event all the same.
    event_of(&client, "ce", kind, "{}").await;
    assert_eq!(roles.gateway.events("events").await.len(), 2);
}
