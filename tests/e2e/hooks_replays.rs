//! Events again: replays of what has failed, by filter and by the routes of then; samples; and events that go on to a developer's machine.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Function, Gateway, Platform, Receiver, answer_to, payload, signature, wait_until};

const REPLAY: &str = "/system/sources/github/replay";

async fn replay(gateway: &Gateway, asked: &Value) -> Value {
    let answer = gateway.send(Method::POST, REPLAY, asked).await;
    assert_eq!(answer.status, 200, "{asked}: {answer:?}");
    answer.json()
}

fn calls(replayed: &Value) -> Vec<String> {
    let calls = replayed["calls"].as_array().unwrap();
    calls.iter().map(|call| call["callId"].as_str().unwrap().to_owned()).collect()
}

/// Answers 500 until the gate is open, and is not tried again.
fn failing() -> Function {
    Function::new("failing", r#"sh -c 'echo "$Http_X_Call_Id" >> runs; test -e gate && cat'"#).answers_once()
}

#[tokio::test]
async fn only_the_routes_that_have_failed_run_again_at_a_rate_and_by_a_filter() {
    let platform = Platform::start([failing(), Function::cat()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let filter = json!({ "type": "push" });
    let routes = json!([{ "to": "failing", "filter": filter }, { "to": "cat", "filter": filter }]);
    gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    for delivery in ["one", "two"] {
        gateway.push("github", delivery).await;
    }
    let failed = async || {
        let path = "/system/sources/github/events?outcome=failed";
        let listed = answer_to(gateway.get(path)).await.json();
        listed["events"].as_array().unwrap().iter().map(|event| event["id"].clone()).collect::<Vec<_>>()
    };
    wait_until("both have failed", async || failed().await == [json!("two"), json!("one")]).await;
    site.open_gate();
    let none = replay(gateway, &json!({ "outcome": "failed", "filter": { "body.ref": "refs/heads/none" } })).await;
    assert_eq!((&none["events"], calls(&none).len()), (&json!(0), 0), "{none}");
    let dry = replay(gateway, &json!({ "outcome": "failed", "dryRun": true, "replay": "again" })).await;
    let made = replay(gateway, &json!({ "outcome": "failed", "rate": "20/s", "replay": "again" })).await;
    assert_eq!((&made["events"], calls(&made)), (&json!(2), calls(&dry)), "{made}");
    for call in made["calls"].as_array().unwrap() {
        assert_eq!(call["route"], "failing", "{made}");
        assert_eq!(gateway.finished(call["callId"].as_str().unwrap()).await["state"], "succeeded");
    }
    let by_filter = replay(gateway, &json!({ "filter": { "id": "one" }, "route": "cat" })).await;
    assert_eq!((&by_filter["events"], calls(&by_filter).len()), (&json!(1), 1), "{by_filter}");
    // A part at a time: it goes on behind the last one.
    let part = replay(gateway, &json!({ "type": "push", "limit": 1, "route": "cat", "replay": "parts" })).await;
    let rest = json!({ "type": "push", "route": "cat", "replay": "parts", "after": part["next"] });
    let rest = replay(gateway, &rest).await;
    assert_eq!((calls(&part).len(), calls(&rest).len(), &rest["next"]), (1, 1, &Value::Null), "{part} {rest}");
    assert_ne!(calls(&part), calls(&rest));
    for (asked, told) in [
        (json!({ "type": "push", "rate": "fast" }), "rate: "),
        (json!({ "filter": { "body.ref": { "startsWith": "r" } } }), "filter: "),
        (json!({ "outcome": "lost" }), "`lost`"),
    ] {
        let refused = gateway.send(Method::POST, REPLAY, &asked).await;
        refused.assert_refused(400);
        assert!(refused.text().contains(told), "{refused:?}");
    }
}

#[tokio::test]
async fn a_replay_takes_the_routes_of_today_or_those_of_then() {
    let platform = Platform::start([Function::cat(), Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let to = |name: &str| json!({ "name": "github", "preset": "github", "routes": [{ "to": name, "filter": { "type": "push" } }] });
    gateway.declare("github", to("cat")).await;
    gateway.push("github", "one").await;
    assert_eq!(gateway.send(Method::PUT, "/system/sources", &to("counted")).await.status, 200);
    wait_until("the new routes count", async || {
        replay(gateway, &json!({ "ids": ["one"], "dryRun": true })).await["calls"][0]["function"] == "counted"
    })
    .await;
    let then = site.client(&["sources", "replay", "github", "--id", "one", "--as-then", "--dry-run"]).await.said();
    assert!(then.contains("cat") && !then.contains("counted"), "{then}");
    let filter = ["sources", "replay", "github", "--filter", "{body.ref: refs/heads/none}", "--dry-run"];
    assert!(site.client(&filter).await.said().contains("0 events"));
}

#[tokio::test]
async fn a_sample_outlives_its_event_and_is_sent_and_tried_again() {
    let platform = Platform::start([Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let routes = json!([{ "to": "counted", "filter": { "type": "push" } }]);
    gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    gateway.push("github", "one").await;
    site.wait_for_runs(1).await;
    site.client(&["sources", "keep", "github", "one", "--as", "first-push"]).await.said();
    let listed = site.client(&["sources", "samples", "github"]).await.said();
    assert!(listed.contains("first-push") && listed.contains("one"), "{listed}");
    let events = crate::nats::stream(site, "SKEP_EVENTS").await;
    events.purge().await.unwrap();
    let tried = site.client(&["sources", "try", "github", "--sample", "first-push"]).await.said();
    assert!(tried.contains("push") && tried.contains("a call"), "{tried}");
    let sent = site.client(&["sources", "send", "github", "--sample", "first-push", "--json"]).await.said();
    let sent: Value = serde_json::from_str(&sent).unwrap();
    let id = sent["eventId"].as_str().unwrap();
    assert!(sent["status"] == 202 && sent["duplicate"] == false && id != "one", "{sent}");
    site.wait_for_runs(2).await;
    let body = answer_to(gateway.get(&format!("/system/sources/github/events/{id}/body"))).await;
    assert_eq!(body.text(), payload("push"));
    assert_eq!(gateway.event("github", id).await["verified"], "signature;key=1");
    // What else is given takes the place of its parts.
    let other = json!({ "sample": "first-push", "headers": { "X-GitHub-Event": "ping" } });
    let other = gateway.send(Method::POST, "/system/sources/github/try", &other).await.json();
    assert_eq!((&other[0]["type"], &other[0]["routes"]), (&json!("ping"), &json!([])), "{other}");
    // A newer sample takes the label.
    site.client(&["sources", "keep", "github", id, "--as", "first-push"]).await.said();
    let kept = answer_to(gateway.get("/system/sources/github/samples")).await.json();
    assert_eq!((kept.as_array().unwrap().len(), &kept[0]["id"]), (1, &json!(id)), "{kept}");
    site.client(&["sources", "samples", "github", "--remove", "first-push"]).await.said();
    site.client(&["sources", "send", "github", "--sample", "first-push"]).await.failed(3, "no sample first-push");
    for action in ["source-sample-keep", "source-sample-delete"] {
        let log = answer_to(gateway.get(&format!("/system/audit-log?action={action}&object=github"))).await.json();
        assert_eq!(log[0]["status"].as_u64().map(|status| status / 100), Some(2), "{action}: {log}");
    }
    site.client(&["sources", "keep", "github", "nothing", "--as", "a"]).await.failed(3, "nothing");
}

#[tokio::test]
async fn events_go_on_to_a_program_of_the_developer_while_functions_get_them_too() {
    let platform = Platform::start([Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let routes = json!([{ "to": "counted", "filter": { "type": "push" } }]);
    gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    gateway.push("github", "before").await;
    let developer = Receiver::start().await;
    let arguments = ["sources", "forward", "github", &developer.url, "--last", "1", "--type", "push", "--count", "3"];
    let (ended, ()) = tokio::join!(site.client(&arguments), async {
        for (count, delivery) in [(1, "one"), (2, "two")] {
            developer.wait_for(count).await;
            gateway.push("github", delivery).await;
        }
    });
    let said = ended.said();
    assert!(said.contains("two  push  200"), "{said}");
    for (came, delivery) in developer.callbacks().iter().zip(["before", "one", "two"]) {
        let names = [came.header("x-github-delivery"), came.header("x-skep-event-id"), came.header("x-skep-verified")];
        assert_eq!(names, [delivery, delivery, "signature"]);
        assert_eq!(came.body, payload("push"));
        let signed = signature("It's a Secret to Everybody", payload("push").as_bytes());
        assert_eq!(came.header("x-hub-signature-256"), signed, "the program can check it");
    }
    site.wait_for_runs(3).await;
    site.client(&["sources", "forward", "nobody", "http://127.0.0.1:1"]).await.failed(3, "no source");
    site.client(&["sources", "forward", "github", "file:///etc"]).await.failed(2, "http://");
}
