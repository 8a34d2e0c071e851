//! Events that wait: requests that cannot be verified yet, sources that are paused, and events that are routed once more.

use http::Method;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::harness::{Function, Gateway, Platform, answer_to, payload, signature, wait_for, wait_until};

async fn runs(platform: &Platform, count: usize) {
    platform.site.wait_for_runs(count).await;
}

async fn post(gateway: &Gateway, path: &str, body: &Value) -> Value {
    let answer = gateway.send(Method::POST, path, body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn source() -> Value {
    json!({ "preset": "github", "routes": [{ "to": "counted", "filter": { "type": "push" } }] })
}

#[tokio::test]
async fn what_is_held_is_let_in_when_the_secret_is_right() {
    let platform = Platform::start([Function::counted()]).await;
    let gateway = &platform.gateway;
    gateway.declare("github", source()).await;
    let mut spec = source();
    spec["name"] = "github".into();
    spec["unverified"] = "hold".into();
    assert_eq!(gateway.send(Method::PUT, "/system/sources", &spec).await.status, 200);
    let body = payload("push");
    let send = |delivery: &str, secret: &str| {
        let request = gateway.unsigned_webhook("github", "push", delivery, &body);
        request.header("X-Hub-Signature-256", signature(secret, body.as_bytes()))
    };
    let never = async || answer_to(send("never", "no secret of ours")).await.status == 202;
    wait_until("what cannot be verified is held", never).await;
    for delivery in ["held-1", "held-2"] {
        let answer = answer_to(send(delivery, "the new secret")).await;
        assert_eq!((answer.status, answer.header("x-skep-event-id")), (202, ""), "{answer:?}");
    }
    let release = "/system/sources/github/release";
    let none = post(gateway, release, &json!({ "all": true })).await;
    assert_eq!((none["released"].as_array().unwrap().len(), platform.site.runs().len()), (0, 0), "{none}");

    gateway.add_secret("github", "the new secret").await;
    let released = wait_for("two are let in", async || {
        let released = post(gateway, release, &json!({ "all": true })).await;
        Some(released).filter(|released| released["released"].as_array().unwrap().len() == 2)
    })
    .await;
    let refused = released["refused"].as_array().unwrap();
    assert!(refused.iter().any(|refused| refused["reason"].as_str().unwrap().contains("fits no secret")), "{released}");
    runs(&platform, 2).await;
    let event = gateway.event("github", "held-1").await;
    assert_eq!((&event["verified"], &event["outcome"]), (&json!("released;key=2"), &json!("routed")), "{event}");
    // It is an event like any other now: the sender's next try is a duplicate.
    assert_eq!(answer_to(send("held-1", "the new secret")).await.header("x-skep-duplicate"), "true");

    let held = answer_to(gateway.get("/system/sources/github/held")).await.json();
    let is_held = |held: &&Value| held["id"].as_str().unwrap().starts_with("held-");
    let never = held.as_array().unwrap().iter().find(is_held).unwrap();
    assert_eq!(never["bytes"], body.len());
    let forced = post(gateway, release, &json!({ "ids": [never["id"]], "force": true })).await;
    assert_eq!(forced["released"][0]["events"], json!(["never"]), "{forced}");
    runs(&platform, 3).await;
    assert_eq!(gateway.event("github", "never").await["verified"], "forced");
}

#[tokio::test]
async fn events_of_a_paused_source_wait_for_their_replay() {
    let platform = Platform::start([Function::counted()]).await;
    let gateway = &platform.gateway;
    gateway.declare("github", source()).await;
    post(gateway, "/system/sources/github/pause", &json!({})).await;
    let mut sent = Vec::new();
    wait_until("an event is stored as paused", async || {
        let delivery = format!("delivery-{}", sent.len());
        gateway.push("github", &delivery).await;
        sent.push(delivery.clone());
        gateway.event("github", &delivery).await["outcome"] == "paused"
    })
    .await;
    let before = sent.len() - 1;
    let replay = "/system/sources/github/replay";
    let asked = json!({ "outcome": "paused", "type": "push", "replay": "resumed" });
    let mut dry = asked.clone();
    dry["dryRun"] = true.into();
    let reported = post(gateway, replay, &dry).await;
    assert_eq!((reported["events"].as_u64(), reported["calls"].as_array().unwrap().len()), (Some(1), 1), "{reported}");
    post(gateway, "/system/sources/github/resume", &json!({})).await;
    let made = post(gateway, replay, &asked).await;
    assert_eq!(made["calls"], reported["calls"]);
    runs(&platform, before + 1).await;
    // Asked for again, as when the answer was lost, it makes no call twice; another replay makes one.
    post(gateway, replay, &asked).await;
    let another = post(gateway, replay, &json!({ "ids": [sent.last().unwrap()] })).await;
    let call = another["calls"][0]["callId"].as_str().unwrap();
    assert_eq!(gateway.finished(call).await["state"], "succeeded");
    assert_eq!(platform.site.runs().len(), before + 2);
    let unsaid = gateway.send(Method::POST, replay, &json!({})).await;
    unsaid.assert_refused(400);
}

#[tokio::test]
async fn a_route_to_a_function_that_is_not_deployed_makes_a_dead_letter_that_says_so() {
    let platform = Platform::start([Function::counted()]).await;
    let gateway = &platform.gateway;
    let routes =
        json!([{ "to": "counted", "filter": { "type": "push" } }, { "to": "missing", "filter": { "type": "push" } }]);
    gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    gateway.push("github", "delivery-1").await;
    runs(&platform, 1).await;
    let letters = wait_for("a dead letter", async || {
        let letters = answer_to(gateway.get("/system/dead")).await.json();
        Some(letters).filter(|letters| !letters.as_array().unwrap().is_empty())
    })
    .await;
    assert_eq!(letters[0]["function"], "missing", "{letters}");
    assert_eq!(letters[0]["reason"], "function missing is not deployed");
    let failed = async || {
        let listed = answer_to(gateway.get("/system/sources/github/events?outcome=failed")).await.json();
        listed["events"].as_array().unwrap().iter().any(|event| event["id"] == "delivery-1")
    };
    // The record of the call is stored after its letter.
    wait_until("a dead letter is a failed call", &failed).await;
    // It is a whole call, so it can be redriven when its function is there.
    let missing = Function::new("missing", r#"sh -c 'echo "$Http_X_Skep_Event_Id" >> runs; cat'"#);
    platform.site.deploy(&missing).await;
    let id = letters[0]["callId"].as_str().unwrap();
    assert_eq!(answer_to(gateway.post(&format!("/system/dead/{id}/redrive"))).await.status, 202);
    runs(&platform, 2).await;
    assert_eq!(platform.site.runs().last().unwrap(), "delivery-1");
    wait_until("its redrive has made it succeed", async || !failed().await).await;
}

/// Declares a source that holds what it cannot verify, and sends it the event `held`, signed with a secret that it does not have.
async fn hold_an_event(gateway: &Gateway) {
    let mut spec = source();
    spec["unverified"] = "hold".into();
    gateway.declare("github", spec).await;
    let body = payload("push");
    let held = gateway.unsigned_webhook("github", "push", "held", &body);
    let held = held.header("X-Hub-Signature-256", signature("the new secret", body.as_bytes()));
    assert_eq!(answer_to(held).await.status, 202);
}

#[tokio::test]
async fn what_is_let_in_later_is_not_the_newest_event() {
    let platform = Platform::start([Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    hold_an_event(gateway).await;
    gateway.push("github", "newest").await;
    gateway.add_secret("github", "the new secret").await;
    wait_until("it is let in", async || {
        let released = post(gateway, "/system/sources/github/release", &json!({ "all": true })).await;
        released["released"][0]["events"] == json!(["held"])
    })
    .await;
    let (held, newest) = (gateway.event("github", "held").await, gateway.event("github", "newest").await);
    assert!(held["sequence"].as_u64() > newest["sequence"].as_u64(), "{held} {newest}");
    let listed = answer_to(gateway.get("/system/sources")).await.json();
    let shown = answer_to(gateway.get("/system/sources/github")).await.json();
    assert_eq!((&listed[0]["lastEventAt"], &shown["lastEventAt"]), (&newest["receivedAt"], &newest["receivedAt"]));
    assert!(site.client(&["sources", "list"]).await.said().contains("github"));
}

/// Sends pings until one has this outcome, which shows that a pause or its end counts.
async fn wait_until_pings_are(gateway: &Gateway, outcome: &str) {
    let mut pings = 0;
    wait_until(&format!("pings are {outcome}"), async || {
        pings += 1;
        let id = format!("{outcome}-{pings}");
        let ping = gateway.webhook("github", "ping", &id, "{}");
        answer_to(ping).await.status == 202 && gateway.event("github", &id).await["outcome"] == outcome
    })
    .await;
}

#[tokio::test]
async fn what_was_held_and_is_let_in_during_a_pause_is_found_by_its_replay() {
    let platform = Platform::start([Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    hold_an_event(gateway).await;
    // It came before the pause, which begins with a whole second, and is let in during it.
    let came_at = OffsetDateTime::now_utc().unix_timestamp();
    wait_until("another second", async || OffsetDateTime::now_utc().unix_timestamp() > came_at).await;
    site.client(&["sources", "pause", "github"]).await.said();
    wait_until_pings_are(gateway, "paused").await;
    gateway.add_secret("github", "the new secret").await;
    wait_until("it is let in", async || {
        let released = post(gateway, "/system/sources/github/release", &json!({ "all": true })).await;
        released["released"][0]["events"] == json!(["held"])
    })
    .await;
    let event = gateway.event("github", "held").await;
    let paused_at = answer_to(gateway.get("/system/sources/github")).await.json()["pausedAt"].clone();
    assert_eq!(event["outcome"], "paused", "{event}");
    let time = |text: &Value| OffsetDateTime::parse(text.as_str().unwrap(), &Rfc3339).unwrap();
    assert!(time(&event["receivedAt"]) < time(&paused_at), "{event} {paused_at}");
    let resumed = site.client(&["sources", "resume", "github"]).await.said();
    let hint = resumed.split_once("skep ").unwrap().1.trim();
    assert!(resumed.contains("1 event came while it was paused"), "{resumed}");
    wait_until_pings_are(gateway, "ignored").await;
    // Its time is that at which it came.
    let since = |time: &Value| json!({ "outcome": "paused", "since": time, "dryRun": true });
    let calls = async |asked: Value| {
        let replayed = post(gateway, "/system/sources/github/replay", &asked).await;
        replayed["calls"].as_array().unwrap().len()
    };
    assert_eq!((calls(since(&event["receivedAt"])).await, calls(since(&paused_at)).await), (1, 0));
    let replay: Vec<_> = hint.split(' ').collect();
    let made = site.client(&replay).await.said();
    assert!(made.contains("made 1 call"), "{made}");
    runs(&platform, 1).await;
    site.client(&replay).await.said();
    let again = answer_to(gateway.get("/system/sources/github/events/held")).await.json();
    assert_eq!(again["replays"].as_array().unwrap().len(), 1, "{again}");
}
