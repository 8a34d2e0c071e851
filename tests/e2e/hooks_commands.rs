//! The commands about events of a source: send, look at them, let in, and replay.

use std::fs;

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Function, Gateway, Platform, Site, answer_to, payload, wait_for, wait_until};

const TYPE: &str = "X-GitHub-Event: push";

fn source() -> Value {
    let ignoring = json!({ "type": "push", "body.ref": "refs/heads/none" });
    json!({ "name": "github", "preset": "github", "unverified": "hold", "routes": [
        { "to": "counted", "filter": { "type": "push" } },
        { "to": "deploy", "filter": ignoring },
    ] })
}

/// A source that holds what it cannot verify, and a push in a file.
async fn declared(platform: &Platform) {
    platform.gateway.declare("github", source()).await;
    fs::write(platform.site.path("push.json"), payload("push")).unwrap();
}

async fn json_of(site: &Site, arguments: &[&str]) -> Value {
    let said = site.client(&[arguments, &["--json"]].concat()).await.said();
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

async fn send(site: &Site, more: &[&str]) -> Value {
    let file = site.path("push.json");
    let arguments = ["sources", "send", "github", "--file", file.to_str().unwrap(), "--header", TYPE];
    json_of(site, &[&arguments, more].concat()).await
}

/// Takes all secrets from the source but one that the sender does not have.
async fn break_secret(gateway: &Gateway, number: u64) {
    gateway.add_secret("github", "another secret").await;
    let which = json!({ "number": number });
    let removed = gateway.send(Method::DELETE, "/system/sources/github/secrets", &which).await;
    assert_eq!(removed.status, 200, "{removed:?}");
}

#[tokio::test]
async fn what_is_sent_is_signed_with_the_secret_and_runs_the_function() {
    let platform = Platform::start([Function::counted()]).await;
    let site = &platform.site;
    declared(&platform).await;
    let first = send(site, &[]).await;
    assert_eq!((&first["status"], &first["duplicate"]), (&json!(202), &json!(false)), "{first}");
    let id = first["eventId"].as_str().unwrap();
    site.wait_for_runs(1).await;
    let headers = platform.gateway.event("github", id).await["headers"].clone();
    assert!(headers.as_array().unwrap().contains(&json!(["x-github-delivery", id])), "functions see it: {headers}");
    // Its id is made up, so a second one is another event; an id that is given counts.
    let second = send(site, &["--header", "X-GitHub-Delivery: delivery-1"]).await;
    assert_eq!(second["eventId"], "delivery-1");
    assert_eq!(send(site, &["--header", "X-GitHub-Delivery: delivery-1"]).await["duplicate"], true);
    site.wait_for_runs(2).await;
    let first = platform.gateway.routed_event("github", id).await;
    platform.gateway.finished(first["calls"][0]["callId"].as_str().unwrap()).await;

    let listed = site.client(&["sources", "events", "github", "--since", "1h", "--type", "push"]).await.said();
    assert!(listed.contains(id) && listed.contains("signature;key=1") && !listed.contains("ping"), "{listed}");
    let ignored = site.client(&["sources", "events", "github", "--outcome", "ignored", "--limit", "1"]).await.said();
    assert!(ignored.contains("ping") && ignored.contains("counted: "), "{ignored}");
    let shown = site.client(&["sources", "event", "github", id]).await.said();
    assert!(shown.contains("body.ref") && shown.contains("succeeded"), "{shown}");
    assert_eq!(site.client(&["sources", "event", "github", id, "--body"]).await.said(), payload("push"));
    site.client(&["sources", "event", "github", "no-such-event"]).await.failed(3, "no-such-event");
    site.client(&["sources", "events", "nobody", "--since", "never"]).await.failed(2, "since");
    let log = answer_to(platform.gateway.get("/system/audit-log?action=source-send")).await.json();
    assert_eq!(log[0]["object"], "github", "{log}");
}

#[tokio::test]
async fn an_id_that_the_provider_signs_is_made_up_for_each_request() {
    let platform = Platform::start([Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let spec = json!({ "name": "sw", "preset": "standard-webhooks", "routes": [{ "to": "counted" }] });
    assert_eq!(gateway.send(Method::POST, "/system/sources", &spec).await.status, 201);
    gateway.add_secret("sw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").await;
    fs::write(site.path("body.json"), "{}").unwrap();
    let file = site.path("body.json");
    let arguments = ["sources", "send", "sw", "--file", file.to_str().unwrap()];
    wait_until("the secret counts", async || site.client(&arguments).await.code == Some(0)).await;
    let [one, other] = [json_of(site, &arguments).await, json_of(site, &arguments).await];
    assert_eq!([&one["duplicate"], &other["duplicate"]], [&json!(false); 2], "{one} {other}");
    let id = one["eventId"].as_str().unwrap();
    assert_eq!(gateway.event("sw", id).await["verified"], "signature;key=1");
    let sent = gateway.event("sw", id).await["headers"].to_string();
    assert!(sent.contains(id), "its id is the one that was signed: {sent}");
}

#[tokio::test]
async fn what_is_held_is_released_when_the_secret_is_put_right() {
    let platform = Platform::start([Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    declared(&platform).await;
    let unsigned = send(site, &["--unsigned"]).await;
    assert_eq!((&unsigned["status"], &unsigned["held"]), (&json!(202), &json!(true)), "{unsigned}");
    break_secret(gateway, 1).await;
    // What its sender signs with the right secret is held, since the source has another one.
    let mut sent = 0;
    let held = wait_for("it is held", async || {
        sent += 1;
        let real = gateway.webhook("github", "push", &format!("real-{sent}"), &payload("push"));
        assert_eq!(answer_to(real).await.status, 202);
        let held = json_of(site, &["sources", "held", "github"]).await;
        let of_secret = |held: &&Value| {
            held["bytes"].as_u64() > Some(1000) && held["reason"].as_str().unwrap().contains("fits no secret")
        };
        held.as_array().unwrap().iter().find(of_secret).map(|held| held["id"].as_str().unwrap().to_owned())
    })
    .await;
    site.client(&["sources", "release", "github", &held]).await.failed_with(1, "not let in", "fits no secret");
    gateway.add_secret("github", "It's a Secret to Everybody").await;
    wait_until("it is let in", async || site.client(&["sources", "release", "github", &held]).await.code == Some(0))
        .await;
    let event = json_of(site, &["sources", "event", "github", &format!("real-{sent}")]).await;
    assert!(event["verified"].as_str().unwrap().starts_with("released;key="), "{event}");
    let event = gateway.routed_event("github", &format!("real-{sent}")).await;
    let call = event["calls"][0]["callId"].as_str().unwrap();
    assert_eq!(gateway.finished(call).await["state"], "succeeded");
    assert!(site.runs().iter().any(|run| run == call));
    site.client(&["sources", "release", "github"]).await.code_is(2);
}

#[tokio::test]
async fn a_replay_makes_one_more_call_and_a_dry_one_none() {
    let platform = Platform::start([Function::counted()]).await;
    let site = &platform.site;
    declared(&platform).await;
    let id = send(site, &[]).await["eventId"].as_str().unwrap().to_owned();
    site.wait_for_runs(1).await;
    let dry = site.client(&["sources", "replay", "github", "--type", "push", "--dry-run"]).await.said();
    assert!(dry.contains("1 event would make 1 call"), "{dry}");
    for _ in 0..2 {
        let made = json_of(site, &["sources", "replay", "github", "--id", &id, "--replay", "again"]).await;
        assert_eq!((&made["events"], &made["replay"]), (&json!(1), &json!("again")), "{made}");
        let call = made["calls"][0]["callId"].as_str().unwrap();
        assert_eq!(platform.gateway.finished(call).await["state"], "succeeded");
    }
    assert_eq!(site.runs().len(), 2);
    site.client(&["sources", "replay", "github"]).await.code_is(2);

    site.client(&["sources", "pause", "github"]).await.said();
    wait_until("an event is stored as paused", async || {
        let id = send(site, &[]).await["eventId"].as_str().unwrap().to_owned();
        json_of(site, &["sources", "event", "github", &id]).await["outcome"] == "paused"
    })
    .await;
    let resumed = site.client(&["sources", "resume", "github"]).await.said();
    let reported =
        "1 event came while it was paused, and made no call then: skep sources replay github --outcome paused\n";
    assert_eq!(resumed, format!("github is resumed\n{reported}"));
    // It waits through another pause, until a replay has made its call.
    let again = async || {
        site.client(&["sources", "pause", "github"]).await.said();
        site.client(&["sources", "resume", "github"]).await.said()
    };
    assert_eq!(again().await, format!("github is resumed\n{reported}"));
    let replay = ["sources", "replay", "github", "--outcome", "paused"];
    let made = site.client(&replay).await.said();
    assert!(made.contains("1 event made 1 call"), "{made}");
    let none = site.client(&replay).await.said();
    assert!(none.contains("0 events"), "{none}");
    assert_eq!(again().await, "github is resumed\n");
    assert_eq!(site.client(&["sources", "resume", "github"]).await.said(), "github is resumed\n");
}

#[tokio::test]
async fn what_is_not_there_is_reported() {
    let platform = Platform::start([Function::counted()]).await;
    let site = &platform.site;
    declared(&platform).await;
    let skep = async |arguments: &[&str]| site.client(&[&["sources"], arguments].concat()).await;
    for arguments in [
        &["events", "nobody"][..],
        &["events", "nobody", "--outcome", "failed"],
        &["held", "nobody"],
        &["samples", "nobody"],
        &["replay", "nobody", "--since", "1h"],
        &["resume", "nobody"],
    ] {
        skep(arguments).await.failed(3, "no source");
    }
    // Names that a URL would leave out.
    for name in ["..", ".", "../github", "github/..", "%2e%2e", "github?x", "github#x"] {
        for arguments in [&["show", name][..], &["events", name], &["held", name], &["pause", name]] {
            let ran = skep(arguments).await;
            assert!(ran.stderr.contains("source"), "{ran:?}");
            assert!([Some(2), Some(3)].contains(&ran.code) && ran.stdout.is_empty(), "{ran:?}");
        }
    }
    assert_ne!(site.client(&["dead", "remove", ".."]).await.code, Some(0));
    assert_eq!(skep(&["samples", "github"]).await.code, Some(0));
    // One that was removed leaves its events.
    let id = send(site, &[]).await["eventId"].as_str().unwrap().to_owned();
    site.wait_for_runs(1).await;
    for more in [&["--since", "1h"][..], &["--id", &id], &["--id", &id, "--as-then"], &["--since", "1h", "--as-then"]] {
        let wrong = skep(&[&["replay", "github", "--route", "deploi"], more].concat()).await;
        wrong.failed(2, "no route \"deploi\": its routes are counted, deploy");
    }
    assert_eq!(site.runs().len(), 1);
    skep(&["remove", "github"]).await.said();
    assert!(skep(&["events", "github"]).await.said().contains(&id));
    skep(&["presets", "show", "nope"]).await.failed(3, "skep sources presets");
    skep(&["presets", "show", "githup"]).await.failed(3, "as gitea, github, gitlab");
}

#[tokio::test]
async fn a_trial_tells_what_the_filters_say_and_stores_nothing() {
    let platform = Platform::start([Function::counted()]).await;
    let site = &platform.site;
    declared(&platform).await;
    let file = site.path("push.json");
    let file = file.to_str().unwrap();
    let tried = site.client(&["sources", "try", "github", "--file", file, "--header", TYPE]).await.said();
    assert!(tried.contains("a call") && tried.contains("not taken: ") && tried.contains("body.ref"), "{tried}");
    let pushes = json_of(site, &["sources", "events", "github", "--type", "push"]).await;
    assert_eq!(pushes["events"], json!([]));
    site.client(&["sources", "try", "github", "--file", "no-such-file"]).await.failed(2, "no-such-file");
}

#[tokio::test]
async fn what_cannot_be_signed_or_verified_is_reported() {
    let platform = Platform::start([Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    fs::write(site.path("body.json"), "{}").unwrap();
    let file = site.path("body.json");
    let file = file.to_str().unwrap();
    let routes = json!([{ "to": "counted" }]);
    for preset in ["github", "discord"] {
        let spec = json!({ "name": preset, "preset": preset, "routes": routes });
        assert_eq!(gateway.send(Method::POST, "/system/sources", &spec).await.status, 201);
    }
    let sent = async |source: &str, more: &[&str]| {
        site.client(&[&["sources", "send", source, "--file", file], more].concat()).await
    };
    wait_until("the source is known", async || sent("github", &[]).await.code == Some(2)).await;
    sent("github", &[]).await.failed(2, "skep sources secret add github");
    sent("github", &["--unsigned"]).await.failed_with(1, "401 unverified_event", "status");
    gateway.add_secret("discord", &"ab".repeat(32)).await;
    wait_until("the secret counts", async || sent("discord", &[]).await.stderr.contains("only the provider")).await;
    sent("discord", &[]).await.failed(2, "only the provider can sign");
    sent("nobody", &[]).await.failed(3, "source");
}
