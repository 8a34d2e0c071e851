//! The commands that ask a gateway, as someone at a terminal uses them.

use serde_json::{Value, json};

use crate::harness::{Function, Platform, Site, wait_until};

/// Fails until the file `well` is there.
fn sick() -> Function {
    let script = "if [ -e well ]; then cat; else echo sorry; exit 3; fi";
    Function::new("sick", &format!("sh -c '{script}'")).annotation("com.openfaas.retry.attempts", "1")
}

async fn dead(platform: &Platform, id: &str) {
    assert_eq!(platform.gateway.queue_as(id, "sick", "honey").await.status, 202);
    assert_eq!(platform.gateway.finished(id).await["state"], "dead");
}

async fn said(platform: &Platform, arguments: &[&str]) -> String {
    platform.site.client(arguments).await.said()
}

async fn reported(platform: &Platform, arguments: &[&str]) -> Value {
    serde_json::from_str(&said(platform, &[arguments, &["--json"]].concat()).await).unwrap()
}

#[tokio::test]
async fn a_letter_is_listed_shown_changed_and_sent_again() {
    let platform = Platform::start([sick()]).await;
    assert_eq!(said(&platform, &["dead", "list"]).await, "No dead letters.\n");
    dead(&platform, "order-7").await;
    let listed = said(&platform, &["dead", "list", "--function", "sick"]).await;
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].starts_with("CALL") && lines[0].ends_with("REASON"), "{listed}");
    assert!(lines[1].starts_with("order-7") && lines[1].contains("the function answered 500"), "{listed}");
    assert_eq!(reported(&platform, &["dead", "list"]).await[0]["callId"], "order-7");
    assert_eq!(reported(&platform, &["dead", "list", "--reason", "other"]).await, json!([]));

    let shown = said(&platform, &["dead", "show", "order-7"]).await;
    for part in ["order-7", "sick", "x-call-id", "honey", "sorry"] {
        assert!(shown.contains(part), "{part} is missing:\n{shown}");
    }
    assert_eq!(reported(&platform, &["dead", "show", "order-7"]).await["text"], "honey");

    std::fs::write(platform.site.path("well"), "").unwrap();
    let edited = said(&platform, &["dead", "edit", "order-7", "--text", "wax", "--header", "X-Order: 7"]).await;
    assert_eq!(edited, "order-7 is on its way\n");
    assert_eq!(said(&platform, &["calls", "result", "order-7", "--wait", "60s"]).await, "wax");
    let status = reported(&platform, &["calls", "show", "order-7"]).await;
    assert_eq!((&status["state"], &status["history"][0]["attempts"]), (&json!("succeeded"), &json!(1)));
}

#[tokio::test]
async fn letters_are_sent_again_and_removed_by_id_or_by_what_they_share() {
    let platform = Platform::start([sick()]).await;
    for id in ["a", "b", "c", "d"] {
        dead(&platform, id).await;
    }
    assert_eq!(said(&platform, &["dead", "remove", "a"]).await, "a is removed\n");
    let some = platform.site.client(&["dead", "remove", "a", "b"]).await;
    assert_eq!((some.code, some.stdout.as_str()), (Some(3), "b is removed\n"), "{some:?}");

    std::fs::write(platform.site.path("well"), "").unwrap();
    let sent = said(&platform, &["dead", "redrive", "--function", "sick", "--limit", "1", "--rate", "50"]).await;
    assert_eq!(sent, "1 on their way\n");
    assert_eq!(platform.gateway.finished("c").await["state"], "succeeded");
    assert_eq!(said(&platform, &["dead", "redrive", "d"]).await, "d is on its way\n");
    assert_eq!(platform.gateway.finished("d").await["state"], "succeeded");
    assert_eq!(reported(&platform, &["dead", "remove", "--all"]).await, json!({ "done": 0 }));
}

#[tokio::test]
async fn calls_are_shown_and_taken_back() {
    let platform = Platform::start([Function::gated(), Function::failing().answers_once()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let open = gateway.queue("gated", "x").await;
    gateway.state(&open, "running").await;
    assert!(said(&platform, &["calls", "show", &open]).await.contains("running"));
    site.client(&["calls", "result", &open]).await.failed(1, "has not ended: it is running");
    assert_eq!(said(&platform, &["calls", "cancel", &open]).await, format!("{open} is cancelled\n"));
    assert_eq!(reported(&platform, &["calls", "show", &open, "--wait", "60s"]).await["state"], "cancelled");
    site.client(&["calls", "result", &open]).await.failed(1, "it was cancelled");

    let failed = gateway.queue("failing", "x").await;
    let result = site.client(&["calls", "result", &failed, "--wait", "60s"]).await;
    assert!(result.stdout.contains("sorry"), "{result:?}");
    result.failed(1, "the function answered 500");
    site.client(&["calls", "cancel", &failed]).await.failed(1, "has ended already");
}

#[tokio::test]
async fn calls_are_listed_and_followed() {
    let platform = Platform::start([Function::gated()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    assert_eq!(site.client(&["calls", "list"]).await.said(), "No calls.\n");
    assert_eq!(gateway.queue_as("order-7", "gated", "x").await.status, 202);
    gateway.state("order-7", "running").await;
    let list = site.client(&["calls", "list", "--state", "running", "--since", "1h"]).await.said();
    assert!(list.starts_with("CALL") && list.contains("order-7"), "{list}");
    let events = ["calls", "events", "order-7"];
    let (followed, ()) = tokio::join!(site.client(&events), async {
        let is_there = async || site.processes().iter().any(|process| process.command.contains("events order-7"));
        wait_until("somebody follows", is_there).await;
        site.open_gate();
    });
    let followed = followed.said();
    let ends: Vec<&str> = followed.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(ends, ["accepted", "started", "succeeded"], "{followed}");
    let shown = site.client(&["calls", "show", "order-7"]).await.said();
    assert!(shown.contains("on gated-1") && shown.contains("answered 200"), "{shown}");
    let one = site.client(&["calls", "list", "--limit", "1", "--json"]).await.said();
    assert_eq!(serde_json::from_str::<Value>(&one).unwrap()[0]["state"], "succeeded");
    site.client(&["calls", "events", "nobody"]).await.failed(3, "nobody");
    site.client(&["calls", "list", "--state", "lost"]).await.failed(2, "lost");
}

#[tokio::test]
async fn a_function_is_described_with_what_follows_from_each_end() {
    let patient = sick().annotation("com.openfaas.retry.attempts", "3").annotation("com.openfaas.retry.codes", "503");
    let platform = Platform::start([patient]).await;
    let described = said(&platform, &["describe", "sick"]).await;
    let line = |start: &str| {
        let mut lines = described.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start} is missing:\n{described}"))
    };
    assert_eq!(line("replicas"), "replicas 1 of 1 ready");
    assert_eq!(line("attempts"), "attempts 3");
    assert_eq!(line("it answers 503"), "it answers 503 again after the wait dead letter");
    assert!(line("it answers 500, or its program").ends_with("done: failed done: failed"));
    let facts = reported(&platform, &["describe", "sick"]).await;
    assert_eq!((&facts["policy"]["codes"], &facts["function"]["name"]), (&json!("503"), &json!("sick")));
    assert_eq!(facts["waits"].as_array().unwrap().len(), 2, "{facts}");
}

#[tokio::test]
async fn what_is_wrong_is_said_in_one_line_and_by_the_exit_code() {
    let site = Site::new([]);
    site.client(&["dead", "list"]).await.failed(1, "does not answer");
    site.client(&["dead", "list", "--gateway", "ftp://x"]).await.code_is(2);
    for usage in [&["dead", "redrive"][..], &["dead", "edit", "x"], &["dead", "remove", "x", "--all"], &["calls"]] {
        site.client(usage).await.code_is(2);
    }
    std::fs::create_dir(site.path("auth")).unwrap();
    std::fs::write(site.path("auth/basic-auth-user"), "queen").unwrap();
    std::fs::write(site.path("auth/basic-auth-password"), "of hearts\n").unwrap();
    let folder = site.path("auth");
    let folder = folder.to_str().unwrap();
    let _up = site.up(&["--basic-auth", "--secret-mount-path", folder]).await;
    site.client(&["dead", "list"]).await.failed(2, "wants another user or password");
    let file = format!("{folder}/basic-auth-password");
    site.client(&["dead", "list", "--password-file", &file]).await.failed(2, "wants another user or password");
    site.client(&["dead", "list", "--password-file", "nowhere"]).await.failed(2, "--password-file");
    for good in [&["--user", "queen", "--password-file", &file][..], &["--secret-mount-path", folder]] {
        assert_eq!(site.client(&[&["dead", "list"], good].concat()).await.said(), "No dead letters.\n");
    }
    for nothing in [&["calls", "show", "x"][..], &["calls", "result", "x"], &["dead", "show", "x"], &["describe", "x"]]
    {
        site.client(&[nothing, &["--secret-mount-path", folder]].concat()).await.failed(3, "x");
    }
}
