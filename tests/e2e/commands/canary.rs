//! `skep deploy` and `skep invoke` while a canary runs.

use std::fs;

use serde_json::{Value, json};

use crate::{
    canary::{begin, canary, greet},
    harness::{Function, Gateway, Platform, Ran, wait_until},
};

/// Deploys a greeting with its settings as a stack file, and further arguments.
async fn deploy(platform: &Platform, word: &str, arguments: &[&str]) -> Ran {
    let stack = json!({ "functions": { "greet": greet(word).section() } });
    fs::write(platform.site.path("greet.yml"), stack.to_string()).unwrap();
    platform.site.client(&[&["deploy", "-f", "greet.yml"], arguments].concat()).await
}

async fn version(gateway: &Gateway) -> Value {
    gateway.function("greet").await.unwrap()["version"]["number"].clone()
}

#[tokio::test]
async fn a_deploy_of_what_is_current_ends_the_canary() {
    let platform = Platform::start([]).await;
    let gateway = &platform.gateway;
    deploy(&platform, "old", &[]).await.said();
    let said = deploy(&platform, "new", &["--canary", "50%"]).await.said();
    assert!(said.contains("Changed functions get 50% of the calls at first"), "{said}");

    let dry = deploy(&platform, "old", &["--dry-run"]).await.said();
    assert_eq!(dry, "greet stays as it is, and its canary, version 2, ends\nNothing is done (--dry-run).\n");
    assert!(canary(gateway, "greet").await.is_some());
    let before = gateway.function("greet").await.unwrap()["instances"].clone();
    let json: Value = serde_json::from_str(&deploy(&platform, "old", &["--json"]).await.said()).unwrap();
    assert_eq!(json, json!([{ "function": "greet", "change": "same", "canary": { "version": 2, "then": "ends" } }]));
    assert_eq!(canary(gateway, "greet").await, None);
    assert_eq!(version(gateway).await, 3);
    assert_eq!(gateway.function("greet").await.unwrap()["instances"], before, "its replicas have run all the time");
    assert_eq!(deploy(&platform, "old", &[]).await.said().lines().next(), Some("greet stays as it is"));

    // Another canary takes its place, and an update for all calls ends that.
    deploy(&platform, "new", &["--canary", "50%"]).await.said();
    let said = deploy(&platform, "newer", &["--canary", "50%"]).await.said();
    assert!(said.starts_with("greet changes, and its canary, version 4, ends\n"), "{said}");
    let said = deploy(&platform, "newest", &[]).await.said();
    assert!(said.starts_with("greet changes, and its canary, version 5, ends\n"), "{said}");
    assert_eq!(gateway.call("greet", "x").await.text().trim(), "newest");
}

#[tokio::test]
async fn a_deploy_of_what_the_canary_has_keeps_it_gives_it_another_share_or_promotes_it() {
    let platform = Platform::start([]).await;
    let gateway = &platform.gateway;
    deploy(&platform, "old", &[]).await.said();
    deploy(&platform, "new", &["--canary", "10%"]).await.said();
    for arguments in [&[][..], &["--canary", "10%"]] {
        let said = deploy(&platform, "new", arguments).await.said();
        assert!(said.starts_with("greet stays as it is: its canary, version 2, has these settings\n"), "{said}");
        assert!(said.contains("1 of 1 ready as a canary for 10% of the calls"), "{said}");
    }
    let said = deploy(&platform, "new", &["--canary", "60%"]).await.said();
    assert!(said.starts_with("greet changes: its canary, version 2, takes 60% of the calls\n"), "{said}");
    assert!(said.contains("1 of 1 ready as a canary for 60% of the calls"), "{said}");
    assert_eq!(canary(gateway, "greet").await.unwrap()["share"], 60);
    let json: Value = serde_json::from_str(&deploy(&platform, "new", &["--json", "--dry-run"]).await.said()).unwrap();
    assert_eq!(json[0]["canary"], json!({ "version": 2, "then": "stays" }));
    let said = deploy(&platform, "new", &["--canary", "off"]).await.said();
    assert!(said.starts_with("greet changes: its canary, version 2, takes all calls\n  command: "), "{said}");
    assert!(said.contains("greet  1 of 1 ready, after"), "{said}");
    assert_eq!(version(gateway).await, 2);
    assert_eq!(gateway.call("greet", "x").await.text().trim(), "new");
}

#[tokio::test]
async fn the_start_of_skep_up_ends_a_canary_that_its_file_does_not_have() {
    let mut platform = Platform::start([greet("old")]).await;
    begin(&platform, &greet("new"), "50").await;
    platform.up.signal(rustix::process::Signal::TERM);
    assert!(platform.up.ended().await.success());
    platform.up = platform.site.up(&[]).await;
    wait_until("the canary has ended", async || canary(&platform.gateway, "greet").await.is_none()).await;
    assert_eq!(version(&platform.gateway).await, 3);
}

#[tokio::test]
async fn what_skep_invoke_sends_can_reach_a_canary_and_runs_again_if_that_fails() {
    let platform = Platform::start([greet("old")]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let fails = Function::new("greet", "sh -c 'cat >/dev/null; exit 3'").annotation("skep.canary.max-errors", "100%");
    begin(&platform, &fails, "99").await;
    fs::write(site.path("small"), "x".repeat(64 * 1024)).unwrap();
    let failed = async || canary(gateway, "greet").await.unwrap()["new"]["failed"].as_u64().unwrap();
    for (body, arguments) in [("", &["--file", "small"][..]), ("of a pipe", &[]), ("", &["--wait", "60s"])] {
        let before = failed().await;
        wait_until("a call has failed on the canary", async || {
            let answer = site.client_reading(body, &[&["invoke", "greet"], arguments].concat()).await;
            assert_eq!(answer.said(), "old\n", "{arguments:?}");
            failed().await > before
        })
        .await;
    }
    // What cannot be held reaches it only where nothing runs again.
    let new = Function::new("greet", "sh -c 'cat >/dev/null; echo new'").annotation("skep.canary.rerun", "off");
    begin(&platform, &new, "99").await;
    for size in [1024 * 1024, 2 * 1024 * 1024] {
        let body = "x".repeat(size);
        wait_until("the canary answers", async || {
            site.client_reading(&body, &["invoke", "greet"]).await.said() == "new\n"
        })
        .await;
    }
}
