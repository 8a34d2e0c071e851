//! Canaries: a new version takes a share of the calls beside the current one, until it is promoted or rolled back.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Function, Gateway, Platform, answer_to, wait_for, wait_until};

/// Answers with a word.
pub(crate) fn greet(word: &str) -> Function {
    Function::new("greet", &format!("sh -c 'cat >/dev/null; echo {word}'"))
}

/// Deploys a version that takes this share of the calls, and waits until it does.
pub(crate) async fn begin(platform: &Platform, function: &Function, share: &str) {
    let body = function.deployment(platform.site.folder());
    let path = format!("/system/functions?canary={share}%25");
    let answer = platform.gateway.send(Method::PUT, &path, &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    serves(&platform.gateway, &function.name).await;
}

/// Waits until the canary of a function takes calls.
pub(crate) async fn serves(gateway: &Gateway, name: &str) {
    wait_until("the canary takes calls", async || {
        let function = gateway.function(name).await.unwrap();
        function["canary"]["availableReplicas"].as_u64().is_some_and(|ready| ready > 0)
    })
    .await;
}

/// The different answers to this number of calls.
async fn answers(gateway: &Gateway, calls: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for _ in 0..calls {
        let answer = gateway.call("greet", "x").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        found.insert(answer.text().trim().to_owned());
    }
    found
}

pub(crate) async fn canary(gateway: &Gateway, name: &str) -> Option<Value> {
    let answer = answer_to(gateway.get(&format!("/system/function/{name}/canary"))).await;
    if answer.status == 404 { None } else { Some(answer.json()) }
}

async fn states(gateway: &Gateway) -> Vec<(u64, String)> {
    let versions = answer_to(gateway.get("/system/function/greet/versions")).await.json();
    let state = |version: &Value| (version["number"].as_u64().unwrap(), version["state"].as_str().unwrap().to_owned());
    versions.as_array().unwrap().iter().map(state).collect()
}

fn as_text(states: &[(u64, String)]) -> String {
    states.iter().map(|(number, state)| format!("{number} {state}")).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn a_canary_takes_its_share_of_all_calls_and_is_promoted_by_hand() {
    let platform = Platform::start([greet("old")]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let command = "sh -c 'cat >/dev/null; echo new'";
    let deploy = ["deploy", "greet", "--command", command, "--canary", "50%", "--note", "trying"];
    let said = site.client(&deploy).await.said();
    assert!(said.contains("50% of the calls at first"), "{said}");
    assert!(said.contains("1 of 1 ready as a canary for 50% of the calls"), "{said}");
    let both = BTreeSet::from(["new".to_owned(), "old".to_owned()]);
    assert_eq!(answers(gateway, 60).await, both);
    let mut queued = BTreeSet::new();
    for _ in 0..40 {
        let id = gateway.queue("greet", "x").await;
        assert_eq!(gateway.finished(&id).await["state"], "succeeded");
        queued.insert(gateway.result(&id).await.text().trim().to_owned());
    }
    assert_eq!(queued, both);

    let function = gateway.function("greet").await.unwrap();
    assert_eq!((&function["replicas"], &function["availableReplicas"]), (&json!(1), &json!(1)), "{function}");
    assert_eq!(function["instances"].as_array().unwrap().len(), 1, "those of the canary do not count: {function}");
    let listed = answer_to(gateway.get("/system/functions")).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    let counted = wait_for("all calls are counted", async || {
        let canary = canary(gateway, "greet").await.unwrap();
        let of = |side: &str| canary[side]["calls"].as_u64().unwrap();
        (of("new") + of("old") == 100).then_some(canary)
    })
    .await;
    assert_eq!(
        (&counted["share"], &counted["currentVersion"], &counted["new"]["failed"]),
        (&json!(50), &json!(1), &json!(0))
    );
    assert!(counted["new"]["medianSeconds"].as_f64().unwrap() > 0.0, "{counted}");
    let described = site.client(&["describe", "greet"]).await.said();
    assert!(described.contains("version 2 by anonymous takes 50% of the calls, 1 of 1 replicas ready"), "{described}");
    assert!(described.contains("2 (canary)"), "{described}");
    assert_eq!(as_text(&states(gateway).await), "2 canary, 1 current");

    let said = site.client(&["promote", "greet"]).await.said();
    assert!(said.starts_with("version 2 of greet takes all calls"), "{said}");
    assert_eq!(answers(gateway, 20).await, BTreeSet::from(["new".to_owned()]));
    assert_eq!(as_text(&states(gateway).await), "2 current, 1 former");
    assert_eq!(canary(gateway, "greet").await, None);
    site.client(&["promote", "greet"]).await.failed(1, "function greet has no canary");
    let entries = wait_for("both entries", async || {
        let entries = answer_to(gateway.get("/system/audit-log?action=promote")).await.json();
        Some(entries).filter(|entries| entries[1].is_object())
    })
    .await;
    let named = |entry: &Value| (entry["status"].clone(), entry["object"].clone(), entry["details"].clone());
    assert_eq!(named(&entries[0]), (json!(409), json!("greet"), Value::Null));
    assert_eq!(named(&entries[1]), (json!(202), json!("greet"), json!("version 2")));
}

#[tokio::test]
async fn a_rollback_ends_a_canary_and_the_current_version_goes_on() {
    let platform = Platform::start([greet("old")]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let before = gateway.function("greet").await.unwrap()["instances"].clone();
    begin(&platform, &greet("new"), "50").await;
    site.client(&["rollback", "greet", "--note", "not yet"]).await.said();
    assert_eq!(answers(gateway, 20).await, BTreeSet::from(["old".to_owned()]));
    assert_eq!(as_text(&states(gateway).await), "3 current, 2 former, 1 former");
    let function = gateway.function("greet").await.unwrap();
    assert_eq!(function["instances"], before, "its replicas have run all the time");
    assert_eq!((&function["version"]["note"], &function["canary"]), (&json!("not yet"), &Value::Null));
    wait_until("no process of the canary is left", async || {
        site.processes().iter().filter(|process| process.is("fwatchdog")).count() == 1
    })
    .await;
    // What was tried can be brought back.
    site.client(&["rollback", "greet"]).await.said();
    assert_eq!(answers(gateway, 10).await, BTreeSet::from(["new".to_owned()]));
}

#[tokio::test]
async fn a_canary_within_its_limits_is_promoted_after_its_time() {
    let platform = Platform::start([greet("old")]).await;
    let gateway = &platform.gateway;
    let new = greet("new").annotation("skep.canary.time", "1s").annotation("skep.canary.min-calls", "10");
    begin(&platform, &new, "50").await;
    let waiting = canary(gateway, "greet").await.unwrap();
    assert!(waiting["next"].as_str().unwrap().contains("more calls"), "{waiting}");
    wait_until("it is promoted", async || {
        gateway.call("greet", "x").await;
        gateway.function("greet").await.unwrap()["version"]["number"] == 2
    })
    .await;
    wait_until("it takes all calls", async || gateway.function("greet").await.unwrap()["readyVersion"] == 2).await;
    assert_eq!(answers(gateway, 10).await, BTreeSet::from(["new".to_owned()]));
    // It is written after the version.
    let object = wait_for("its entry", async || {
        let entries = answer_to(gateway.get("/system/audit-log?action=promote&actor=controller")).await.json();
        entries.get(0).map(|entry| entry["object"].clone())
    })
    .await;
    assert_eq!(object, "greet");
}

#[tokio::test]
async fn deploys_scaling_and_deletion_during_a_canary_have_clear_results() {
    let platform = Platform::start_with(&["--scale-from-zero=true"], [greet("old")]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let put = async |function: &Function, query: &str| {
        let body = function.deployment(site.folder());
        let answer = gateway.send(Method::PUT, &format!("/system/functions{query}"), &body).await;
        (answer.status, answer)
    };
    for bad in ["?canary=100%25", "?canary=some", "?canary=0"] {
        assert_eq!(put(&greet("new"), bad).await.0, 400, "{bad}");
    }
    begin(&platform, &greet("new"), "10").await;
    // The same once more changes nothing, and another share only that.
    assert_eq!(put(&greet("new"), "").await.0, 202);
    assert_eq!(canary(gateway, "greet").await.unwrap()["version"]["number"], 2);
    assert_eq!(put(&greet("new"), "?canary=60%25").await.0, 202);
    assert_eq!(canary(gateway, "greet").await.unwrap()["share"], 60);
    // The canary has its share of the replicas.
    gateway.scale("greet", 3).await;
    gateway.wait_for_replicas("greet", 3).await;
    wait_until("the canary has two replicas", async || {
        canary(gateway, "greet").await.unwrap()["availableReplicas"] == 2
    })
    .await;
    // At zero both sleep, and a call wakes both.
    gateway.scale("greet", 0).await;
    wait_until("nothing runs", async || !site.processes().iter().any(|process| process.is("fwatchdog"))).await;
    let answer = gateway.call("greet", "x").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    serves(gateway, "greet").await;
    // Another canary takes the place of the first one.
    begin(&platform, &greet("newer"), "50").await;
    wait_until("the newer one answers", async || gateway.call("greet", "x").await.text().trim() == "newer").await;
    assert_eq!(as_text(&states(gateway).await), "3 canary, 2 former, 1 current");
    assert!(!answers(gateway, 40).await.contains("new"));
    // What is current already ends it.
    assert_eq!(put(&greet("old"), "").await.0, 202);
    assert_eq!(as_text(&states(gateway).await), "4 current, 3 former, 2 former, 1 former");
    // An update for all calls ends it, too.
    begin(&platform, &greet("new"), "10").await;
    assert_eq!(put(&greet("newest"), "?canary=off").await.0, 202);
    wait_until("the newest one is ready", async || gateway.function("greet").await.unwrap()["readyVersion"] == 6).await;
    assert_eq!(answers(gateway, 10).await, BTreeSet::from(["newest".to_owned()]));
    assert_eq!(canary(gateway, "greet").await, None);
    // Off promotes what is a canary.
    begin(&platform, &greet("new"), "10").await;
    assert_eq!(put(&greet("new"), "?canary=off").await.0, 202);
    wait_until("it is promoted", async || gateway.function("greet").await.unwrap()["readyVersion"] == 7).await;
    begin(&platform, &greet("old"), "10").await;
    let gone = gateway.send(Method::DELETE, "/system/functions", &json!({ "functionName": "greet" })).await;
    assert_eq!(gone.status, 202);
    wait_until("nothing is left", async || !site.processes().iter().any(|process| process.is("fwatchdog"))).await;
}

#[tokio::test]
async fn an_annotation_makes_each_update_a_canary_in_every_namespace_and_prune_takes_both() {
    let platform = Platform::start([]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let stack = |word: &str| {
        json!({
            "version": "1.0",
            "name": "greetings",
            "namespaces": ["dev"],
            "functions": { "greet": {
                "namespace": "dev",
                "fprocess": format!("sh -c 'cat >/dev/null; echo {word}'"),
                "annotations": { "skep.canary": "50%" },
            } },
        })
        .to_string()
    };
    let file = site.path("greetings.yml");
    let file = file.to_str().unwrap();
    std::fs::write(file, stack("old")).unwrap();
    site.client(&["deploy", "-f", file]).await.said();
    assert_eq!(gateway.function("greet.dev").await.unwrap()["canary"], Value::Null, "what is new takes all calls");
    std::fs::write(file, stack("new")).unwrap();
    site.client(&["deploy", "-f", file]).await.said();
    let found = gateway.function("greet.dev").await.unwrap();
    assert_eq!((&found["canary"]["share"], &found["version"]["number"]), (&json!(50), &json!(1)), "{found}");
    for word in ["old", "new"] {
        wait_until(word, async || gateway.call("greet.dev", "x").await.text().trim() == word).await;
    }
    let lines = site.client(&["logs", "greet.dev"]).await;
    assert!(!lines.stderr.contains("not found"), "{lines:?}");
    std::fs::write(file, json!({ "version": "1.0", "name": "greetings", "functions": {} }).to_string()).unwrap();
    site.client(&["deploy", "-f", file, "--prune", "--yes"]).await.said();
    wait_until("nothing is left", async || !site.processes().iter().any(|process| process.is("fwatchdog"))).await;
    // Nobody can take the name under which a canary runs.
    let body = Function::new("greet--canary", "cat").deployment(site.folder());
    gateway.send(Method::POST, "/system/functions", &body).await.assert_refused(400);
}
