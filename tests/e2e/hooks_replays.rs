//! Events again: replays of what has failed, by filter and by the routes of then; samples; and events that go on to a developer's machine.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Function, Gateway, Platform, Receiver, answer_to, payload, signature, wait_for, wait_until};

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
}

#[tokio::test]
async fn a_replay_keeps_its_pace_and_says_what_it_does_not_take() {
    let platform = Platform::start([Function::cat()]).await;
    let gateway = &platform.gateway;
    gateway
        .declare("github", json!({ "preset": "github", "routes": [{ "to": "cat", "filter": { "type": "push" } }] }))
        .await;
    for delivery in ["one", "two"] {
        gateway.push("github", delivery).await;
    }
    // The one that goes on waits for its turn, too.
    let began = Instant::now();
    let paced = json!({ "type": "push", "rate": "2/s", "route": "cat", "replay": "paced", "limit": 1 });
    let first = replay(gateway, &paced).await;
    let mut rest = paced.clone();
    rest["after"] = first["next"].clone();
    assert_eq!(replay(gateway, &rest).await["events"], 1);
    assert!(began.elapsed() >= Duration::from_millis(450), "two events a second");
    for (asked, expected) in [
        (json!({ "type": "push", "rate": "fast" }), "rate: "),
        (json!({ "type": "push", "rate": "1/m" }), "rate: use 2/m"),
        (json!({ "type": "push", "replay": "a.b" }), "replay: "),
        (json!({ "type": "push", "replay": "" }), "replay: "),
        (json!({ "type": "push", "replay": "r".repeat(65) }), "replay: "),
        (json!({ "type": "push", "route": "nobody" }), "no route \"nobody\""),
        (json!({ "limit": 5, "route": "cat", "rate": "20/s" }), "say which events"),
        (json!({ "filter": { "body.ref": { "startsWith": "r" } } }), "filter: "),
        (json!({ "outcome": "lost" }), "`lost`"),
    ] {
        let refused = gateway.send(Method::POST, REPLAY, &asked).await;
        refused.assert_refused(400);
        assert!(refused.text().contains(expected), "{refused:?}");
    }
}

#[tokio::test]
async fn what_a_replay_has_made_succeed_is_not_failed_any_more() {
    let platform = Platform::start([failing(), Function::cat()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let routes = json!([{ "to": "failing", "filter": { "type": "push" } }, { "to": "cat" }]);
    gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    gateway.push("github", "one").await;
    let failed = async || {
        let listed = answer_to(gateway.get("/system/sources/github/events?outcome=failed")).await.json();
        listed["events"].as_array().unwrap().iter().any(|event| event["id"] == "one")
    };
    let again = |id: &str| json!({ "outcome": "failed", "type": "push", "replay": id });
    wait_until("its call has failed", &failed).await;
    // A replay that fails, too, changes nothing.
    let first = replay(gateway, &again("first")).await;
    assert_eq!(gateway.finished(&calls(&first)[0]).await["state"], "failed");
    assert!(failed().await);
    site.open_gate();
    let second = replay(gateway, &again("second")).await;
    assert_eq!((&second["events"], calls(&second).len()), (&json!(1), 1), "{second}");
    assert_eq!(gateway.finished(&calls(&second)[0]).await["state"], "succeeded");
    assert!(!failed().await, "its latest call has succeeded");
    let (by_all, by_route) = (again("third"), json!({ "outcome": "failed", "route": "failing" }));
    for asked in [by_all, by_route] {
        let third = replay(gateway, &asked).await;
        assert_eq!((&third["events"], calls(&third).len()), (&json!(0), 0), "{third}");
    }
    // The replay that made the call lists it again, and the function does not run again.
    assert_eq!(calls(&replay(gateway, &again("second")).await), calls(&second));
    assert_eq!(site.runs().len(), 3, "the event's own call, and that of each of two replays");
    let shown = gateway.event("github", "one").await;
    let replays: Vec<_> =
        shown["replays"].as_array().unwrap().iter().map(|made| [&made["replay"], &made["state"]]).collect();
    assert_eq!(replays, [[&json!("first"), &json!("failed")], [&json!("second"), &json!("succeeded")]], "{shown}");
    assert_eq!(shown["replays"][1]["callId"], second["calls"][0]["callId"]);
    let shown = site.client(&["sources", "event", "github", "one"]).await.said();
    assert!(shown.contains("REPLAY") && shown.contains("second"), "{shown}");

    // What a replay has made fail is failed, although the event's own call has succeeded.
    std::fs::remove_file(site.path("gate")).unwrap();
    let third = replay(gateway, &json!({ "ids": ["one"], "route": "failing" })).await;
    assert_eq!(gateway.finished(&calls(&third)[0]).await["state"], "failed");
    assert!(failed().await);
    let dry = replay(gateway, &json!({ "outcome": "failed", "dryRun": true })).await;
    assert_eq!((&dry["events"], calls(&dry).len()), (&json!(1), 1), "{dry}");
    assert_eq!(
        gateway.event("github", "one").await["replays"].as_array().unwrap().len(),
        3,
        "a dry run leaves no note"
    );
}

#[tokio::test]
async fn ignored_events_make_their_calls_once_however_often_they_are_replayed() {
    let platform = Platform::start([Function::counted(), Function::cat()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let to = |routes: Value| json!({ "name": "github", "preset": "github", "routes": routes });
    let nothing = json!({ "type": "push", "body.ref": "refs/heads/none" });
    gateway.declare("github", to(json!([{ "to": "counted", "filter": nothing }]))).await;
    gateway.push("github", "one").await;
    assert_eq!(gateway.event("github", "one").await["outcome"], "ignored");
    let asked = json!({ "outcome": "ignored", "type": "push" });
    let mended = to(json!([{ "to": "counted", "filter": { "type": "push" } }]));
    assert_eq!(gateway.send(Method::PUT, "/system/sources", &mended).await.status, 200);
    let made = wait_for("the new filter counts", async || {
        let made = replay(gateway, &asked).await;
        (!calls(&made).is_empty()).then_some(made)
    })
    .await;
    assert_eq!(gateway.finished(&calls(&made)[0]).await["state"], "succeeded");
    assert_eq!(replay(gateway, &asked).await["events"], 0);
    // A further route has its call, and the one before no second one.
    let both =
        to(json!([{ "to": "counted", "filter": { "type": "push" } }, { "to": "cat", "filter": { "type": "push" } }]));
    assert_eq!(gateway.send(Method::PUT, "/system/sources", &both).await.status, 200);
    let more = wait_for("the new route counts", async || {
        let made = replay(gateway, &asked).await;
        (!calls(&made).is_empty()).then_some(made)
    })
    .await;
    assert_eq!((calls(&more).len(), &more["calls"][0]["route"]), (1, &json!("cat")), "{more}");
    assert_eq!(site.runs().len(), 1);
}

#[tokio::test]
async fn an_event_that_was_ignored_has_failed_if_its_replay_has() {
    let platform = Platform::start([failing()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let to = |kind: &str| json!({ "name": "github", "preset": "github", "routes": [{ "to": "failing", "filter": { "type": kind } }] });
    gateway.declare("github", to("issues")).await;
    gateway.push("github", "one").await;
    assert_eq!(gateway.send(Method::PUT, "/system/sources", &to("push")).await.status, 200);
    let made = wait_for("the new filter counts", async || {
        let made = replay(gateway, &json!({ "outcome": "ignored", "type": "push" })).await;
        (!calls(&made).is_empty()).then_some(made)
    })
    .await;
    assert_eq!(gateway.finished(&calls(&made)[0]).await["state"], "failed");
    let listed = answer_to(gateway.get("/system/sources/github/events?outcome=failed")).await.json();
    assert_eq!(
        (listed["events"].as_array().unwrap().len(), &listed["events"][0]["id"]),
        (1, &json!("one")),
        "{listed}"
    );
    site.open_gate();
    let again = replay(gateway, &json!({ "outcome": "failed" })).await;
    assert_eq!(gateway.finished(&calls(&again)[0]).await["state"], "succeeded");
    assert_eq!(replay(gateway, &json!({ "outcome": "failed" })).await["events"], 0);
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
    site.client(&["sources", "samples", "github", "--remove", "first-push"]).await.failed(3, "no sample first-push");
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

#[tokio::test]
async fn a_function_that_is_not_deployed_holds_no_other_call_of_a_replay_up() {
    let platform = Platform::start([Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let routes = json!([{ "to": "missing" }, { "to": "counted" }]);
    gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    for id in ["one", "two"] {
        gateway.push("github", id).await;
    }
    // With the ping that its declaration waits for.
    site.wait_for_runs(3).await;
    let all = replay(gateway, &json!({ "outcome": "routed" })).await;
    assert_eq!((&all["events"], calls(&all).len()), (&json!(3), 6), "{all}");
    site.wait_for_runs(6).await;
    let dead = wait_for("its dead letters", async || {
        let dead = answer_to(gateway.get("/system/dead")).await.json();
        dead.as_array().cloned().filter(|letters| letters.len() == 6)
    })
    .await;
    assert!(dead.iter().all(|letter| letter["reason"] == "function missing is not deployed"), "{dead:?}");
}
