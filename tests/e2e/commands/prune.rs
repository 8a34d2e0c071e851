//! A stack file as the whole of what is wanted: what it needs is made, what it names no longer goes, and it rebuilds an installation.

use std::fs;

use serde_json::Value;

use crate::harness::{Platform, Ran, wait_until};

const EVERYTHING: &str = "\
name: shop
namespaces: [dev]
secrets:
  api-key: {file: api-key.txt}
  dev-key: {env: DEV_KEY, namespace: dev}
functions:
  up:
    fprocess: tr a-z A-Z
    secrets: [api-key]
    labels: {tier: front}
    environment: {LEVEL: one}
    annotations: {com.openfaas.retry.attempts: 3}
  down:
    namespace: dev
    fprocess: tr A-Z a-z
    secrets: [dev-key]
sources:
  github:
    preset: github
    routes: [{to: up}]
  nightly:
    cron: '0 3 * * *'
    body: go
    routes: [{to: down.dev}]
";

async fn deploy(platform: &Platform, stack: &str, arguments: &[&str]) -> Ran {
    let site = &platform.site;
    fs::write(site.path("shop.yml"), stack).unwrap();
    fs::write(site.path("api-key.txt"), "honey\n").unwrap();
    site.client(&[&["deploy", "-f", "shop.yml"], arguments].concat()).await
}

/// All that is there, without what differs between two installations.
async fn lists(platform: &Platform) -> Value {
    let mut lists = Vec::new();
    for command in [
        &["list"][..],
        &["list", "--namespace", "dev"],
        &["sources", "list"],
        &["secret", "list"],
        &["secret", "list", "--namespace", "dev"],
        &["namespace", "list"],
    ] {
        let printed = platform.site.client(&[command, &["--json"]].concat()).await.said();
        lists.push(serde_json::from_str::<Value>(&printed).unwrap());
    }
    let mut lists = Value::from(lists);
    let folder = platform.site.folder().canonicalize().unwrap();
    forget(&mut lists, folder.to_str().unwrap());
    lists
}

fn forget(value: &mut Value, folder: &str) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| {
                !["createdAt", "updatedAt", "at", "instances", "invocationCount"].contains(&key.as_str())
            });
            map.values_mut().for_each(|value| forget(value, folder));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| forget(value, folder)),
        Value::String(text) => *text = text.replace(folder, "FOLDER"),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[tokio::test]
async fn a_file_with_everything_rebuilds_an_installation_from_nothing() {
    let mut first = None;
    for _ in 0..2 {
        let mut platform = Platform::start([]).await;
        deploy(&platform, EVERYTHING, &[]).await.failed(2, "DEV_KEY");
        assert_eq!(platform.site.client(&["list"]).await.said(), "No functions.\n");
        platform.site.environment.push(("DEV_KEY", "wax".to_owned()));
        let dry = deploy(&platform, EVERYTHING, &["--dry-run"]).await.said();
        let plan = "namespace dev is new\nsecret api-key is new\nsecret dev-key.dev is new\nup is new: tr a-z A-Z\n\
                    down.dev is new: tr A-Z a-z\nsource github is new\nsource nightly is new\n";
        assert_eq!(dry, format!("{plan}Nothing is done (--dry-run).\n"));
        assert!(deploy(&platform, EVERYTHING, &[]).await.said().starts_with(plan));
        assert_eq!(platform.gateway.call("down.dev", "WAX").await.text(), "wax");
        let again = deploy(&platform, EVERYTHING, &["--prune", "--json"]).await.said();
        let again: Value = serde_json::from_str(&again).unwrap();
        let changes: Vec<_> = again.as_array().unwrap().iter().map(|one| one["change"].as_str().unwrap()).collect();
        assert_eq!(changes, ["same"; 4]);
        let lists = lists(&platform).await;
        assert_eq!(first.get_or_insert_with(|| lists.clone()), &lists);
    }
}

#[tokio::test]
async fn what_the_file_names_no_longer_goes_and_what_others_deployed_stays() {
    let mut platform = Platform::start([]).await;
    platform.site.environment.push(("DEV_KEY", "wax".to_owned()));
    let site = &platform.site;
    let nameless = EVERYTHING.replace("name: shop\n", "");
    deploy(&platform, &nameless, &["--prune"]).await.failed(2, "write name: NAME into shop.yml");
    assert_eq!(site.client(&["list"]).await.said(), "No functions.\n");
    deploy(&platform, EVERYTHING, &[]).await.said();
    // Of another file, of the command line, and of a file that was deployed without a name.
    fs::write(site.path("other.yml"), "name: other\nfunctions:\n  theirs:\n    fprocess: cat\n").unwrap();
    site.client(&["deploy", "-f", "other.yml"]).await.said();
    site.client(&["deploy", "mine", "--command", "cat"]).await.said();
    fs::write(site.path("plain.yml"), "functions:\n  plain:\n    fprocess: cat\n").unwrap();
    site.client(&["deploy", "-f", "plain.yml"]).await.said();

    site.client(&["scale", "up", "0"]).await.said();
    let queued = platform.gateway.queue("up", "x").await;
    wait_until("it waits", async || platform.gateway.function("up").await.unwrap()["queueDepth"] == 1).await;
    let less = "name: shop\nfunctions:\n  new:\n    fprocess: cat\nsources:\n  nightly:\n    cron: '0 3 * * *'\n    \
                body: go\n    routes: [{to: new}]\n";
    let plan = "new is new: cat\nsource nightly changes\nup is removed; its queued call becomes a dead letter\n\
                down.dev is removed\nsource github is removed\n";
    let kept = deploy(&platform, less, &["--dry-run"]).await.said();
    assert!(!kept.contains("removed"), "{kept}");
    let dry = deploy(&platform, less, &["--prune", "--dry-run"]).await.said();
    assert_eq!(dry, format!("{plan}Nothing is done (--dry-run).\n"));
    assert!(site.client(&["list"]).await.said().contains("up "));
    let pruned: Value = serde_json::from_str(&deploy(&platform, less, &["--prune", "--json"]).await.said()).unwrap();
    let up = serde_json::json!({ "function": "up", "change": "removed", "queuedCalls": 1 });
    let github = serde_json::json!({ "source": "github", "change": "removed" });
    assert_eq!((&pruned[2], &pruned[4]), (&up, &github), "{pruned}");
    let listed: Value = serde_json::from_str(&site.client(&["list", "--json"]).await.said()).unwrap();
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["mine", "new", "plain", "theirs"]);
    assert_eq!(site.client(&["list", "--namespace", "dev"]).await.said(), "No functions.\n");
    let sources = site.client(&["sources", "list"]).await.said();
    assert!(sources.contains("nightly") && !sources.contains("github"), "{sources}");
    assert!(site.client(&["secret", "list"]).await.said().contains("api-key"), "secrets stay");
    assert_eq!(platform.gateway.finished(&queued).await["state"], "dead");
    for wrong in [&["--prune", "--filter", "n*"][..], &["--yes"]] {
        deploy(&platform, less, wrong).await.code_is(2);
    }
    site.client(&["deploy", "mine", "--command", "cat", "--prune"]).await.code_is(2);
}

#[tokio::test]
async fn a_secret_that_is_nowhere_is_named_and_nothing_is_done() {
    let platform = Platform::start([]).await;
    let site = &platform.site;
    let stack = "secrets:\n  one:\n  two: {namespace: dev}\nnamespaces: [dev]\nfunctions:\n  a:\n    fprocess: cat\n";
    let failed = deploy(&platform, stack, &[]).await;
    let commands = "skep secret set one < FILE; skep secret set two --namespace dev < FILE";
    failed.failed(3, commands);
    assert!(!site.client(&["namespace", "list"]).await.said().contains("dev"));
    assert_eq!(site.client(&["list"]).await.said(), "No functions.\n");
    for (wrong, reason) in [
        ("name: Shop\n", "shop.yml:1: name"),
        ("namespaces: [a, B]\n", "shop.yml:1: namespaces"),
        ("secrets:\n  a: {file: x, env: Y}\n", "shop.yml:2: secret a has both"),
        ("secrets:\n  a: {fil: x}\n", "unknown key \"fil\" of a secret"),
    ] {
        deploy(&platform, wrong, &[]).await.failed(2, reason);
    }
}
