//! A canary on a Swarm is a service beside that of its function.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::{
    canary::serves,
    harness::{FUNCTION, Gateway, Swarm, answer_to, wait_for, wait_until},
};

fn greet(command: &str) -> Value {
    json!({ "service": "greet", "image": FUNCTION, "envProcess": command })
}

async fn begin(gateway: &Gateway, command: &str) {
    let answer = gateway.send(Method::PUT, "/system/functions?canary=50%25", &greet(command)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

async fn answers(gateway: &Gateway) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for _ in 0..30 {
        let answer = gateway.call("greet", "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        found.insert(answer.text().trim().to_owned());
    }
    found
}

async fn services(swarm: &Swarm) -> BTreeSet<String> {
    let found = swarm.manager().docker(&["service", "ls", "--format", "{{.Name}}"]).await;
    found.lines().filter(|name| name.starts_with("greet")).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_canary_runs_beside_its_function_and_one_that_fails_is_rolled_back() {
    let swarm = Swarm::start(1).await;
    swarm.make_images().await;
    let gateway = swarm.deploy_stack(&[]).await;
    wait_until("the controller answers", async || {
        answer_to(gateway.get("/system/info")).await.json()["provider"].is_object()
    })
    .await;
    gateway.deploy(&greet("sh -c 'echo old'")).await;
    let only = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();

    begin(&gateway, "sh -c 'echo new'").await;
    serves(&gateway, "greet").await;
    assert_eq!(answers(&gateway).await, only(&["new", "old"]));
    assert_eq!(services(&swarm).await, only(&["greet", "greet--canary"]));
    let function = gateway.function("greet").await.unwrap();
    assert_eq!((&function["replicas"], &function["availableReplicas"]), (&json!(1), &json!(1)), "{function}");
    let promoted = gateway.send(Method::POST, "/system/function/greet/promote", &Value::Null).await;
    assert_eq!(promoted.status, 202, "{promoted:?}");
    wait_until("it takes all calls", async || gateway.function("greet").await.unwrap()["readyVersion"] == 2).await;
    wait_until("only the new version answers", async || answers(&gateway).await == only(&["new"])).await;
    wait_until("the canary's service is gone", async || services(&swarm).await == only(&["greet"])).await;

    // One that answers badly, and one that does not start.
    begin(&gateway, "false").await;
    serves(&gateway, "greet").await;
    let note = async |failed: u64| {
        let version = wait_for("the canary is rolled back", async || {
            assert_eq!(gateway.call("greet", "").await.text().trim(), "new");
            let version = gateway.function("greet").await.unwrap()["version"].clone();
            (version["cause"] == "automatic-rollback" && version["replaces"] == failed).then_some(version)
        })
        .await;
        version["note"].as_str().unwrap().to_owned()
    };
    let failing = note(3).await;
    assert!(failing.starts_with("version 3 was rolled back: "), "{failing}");
    assert!(failing.contains(" calls failed (100.0 %), and of the version before 0 of "), "{failing}");
    let mut broken = greet("sh -c 'echo never'");
    broken["image"] = json!("skep-test/nowhere:1");
    let answer = gateway.send(Method::PUT, "/system/functions?canary=50%25", &broken).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let missing = note(5).await;
    assert!(missing.contains("a replica could not be started"), "{missing}");
    wait_until("the canary's service is gone", async || services(&swarm).await == only(&["greet"])).await;
}
