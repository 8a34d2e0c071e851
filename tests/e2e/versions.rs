//! Versions of functions: they are kept, and an update that does not become ready is rolled back.

use http::Method;
use serde_json::{Value, json};

use crate::{
    audit_log::Watched,
    harness::{Function, Gateway, Platform, Roles, answer_to, wait_for, wait_until},
};

async fn versions(gateway: &Gateway, name: &str) -> Vec<Value> {
    let answer = answer_to(gateway.get(&format!("/system/function/{name}/versions"))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json().as_array().unwrap().clone()
}

fn numbers(versions: &[Value]) -> Vec<u64> {
    versions.iter().map(|version| version["number"].as_u64().unwrap()).collect()
}

async fn update(platform: &Platform, function: &Function) {
    let body = function.deployment(platform.site.folder());
    let answer = platform.gateway.send(Method::PUT, "/system/functions", &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

/// Waits until the controller has rolled a version back, and returns the version that this has made.
async fn rolled_back(gateway: &Gateway, name: &str, failed: u64) -> Value {
    wait_for(&format!("version {failed} of {name} is rolled back"), async || {
        let function = gateway.function(name).await.unwrap();
        let version = function["version"].clone();
        (version["cause"] == "automatic-rollback" && version["replaces"] == failed).then_some(version)
    })
    .await
}

#[tokio::test]
async fn the_last_versions_are_kept_and_go_with_the_function() {
    let platform = Platform::start_with(&["--versions-kept", "3"], [Function::cat()]).await;
    let gateway = &platform.gateway;
    for level in ["a", "b", "b", "c"] {
        update(&platform, &Function::cat().env("LEVEL", level)).await;
    }
    let found = versions(gateway, "cat").await;
    assert_eq!(numbers(&found), [4, 3, 2], "an update that changes nothing makes no version");
    assert_eq!((&found[0]["changed"], &found[0]["actor"]), (&json!(["environment LEVEL"]), &json!("anonymous")));
    let one = answer_to(gateway.get("/system/function/cat/versions/2")).await.json();
    assert_eq!((&one["number"], &one["deployment"]["envVars"]["LEVEL"]), (&json!(2), &json!("a")));
    for (path, status) in [("cat/versions/1", 404), ("cat/versions/x", 400), ("nobody/versions", 404)] {
        answer_to(gateway.get(&format!("/system/function/{path}"))).await.assert_refused(status);
    }

    let asked = json!({ "version": 2, "note": "again" });
    let answer = gateway.send(Method::POST, "/system/function/cat/rollback", &asked).await;
    assert_eq!((answer.status, answer.header("location")), (202, "/system/function/cat/versions/5"), "{answer:?}");
    assert_eq!(answer.json(), json!({ "version": 5, "restores": 2 }));
    assert_eq!(gateway.function("cat").await.unwrap()["envVars"]["LEVEL"], "a");
    for (body, status) in [(json!({ "version": 5 }), 409), (json!({ "version": 2 }), 404), (json!({ "v": 1 }), 400)] {
        gateway.send(Method::POST, "/system/function/cat/rollback", &body).await.assert_refused(status);
    }

    let gone = gateway.send(Method::DELETE, "/system/functions", &json!({ "functionName": "cat" })).await;
    assert_eq!(gone.status, 202, "{gone:?}");
    answer_to(gateway.get("/system/function/cat/versions")).await.assert_refused(404);
    let deploy = Function::cat().deployment(platform.site.folder());
    // Its replicas may not have ended yet.
    wait_until("it is deployed again", async || {
        gateway.send(Method::POST, "/system/functions", &deploy).await.status == 202
    })
    .await;
    let anew = versions(gateway, "cat").await;
    assert_eq!((numbers(&anew), &anew[0]["cause"]), (vec![1], &json!("deploy")));
}

#[tokio::test]
async fn who_may_deploy_may_roll_back_in_its_namespaces_and_it_is_in_the_audit_log() {
    let watched = Watched::start(&[], [Function::cat()]).await;
    let admin = &watched.site.gateway;
    assert_eq!(admin.send(Method::POST, "/system/namespace/dev", &json!({})).await.status, 201);
    let limited = watched.holder("ci", &["--role", "deploy", "--namespace", "dev"]).await;
    let upper = |command: &str| json!({ "service": "upper", "namespace": "dev", "envProcess": command });
    let path = "/system/functions?note=first";
    assert_eq!(limited.send(Method::POST, path, &upper("tr a-z A-Z")).await.status, 202);
    assert_eq!(limited.send(Method::PUT, "/system/functions", &upper("tr a-y A-Y")).await.status, 202);
    let back = limited.send(Method::POST, "/system/function/upper/rollback?namespace=dev", &json!({})).await;
    assert_eq!(back.header("location"), "/system/function/upper.dev/versions/3", "{back:?}");
    let found = versions(&limited, "upper.dev").await;
    let who: Vec<&Value> = found.iter().map(|version| &version["actor"]).collect();
    assert_eq!(who, ["token ci"; 3]);
    assert_eq!(found[2]["note"], "first");
    let entry = watched.entry("action=rollback").await;
    assert_eq!((&entry["object"], &entry["actor"]), (&json!("upper.dev"), &json!("token ci")));
    assert_eq!(entry["details"], "version 3, as version 1");

    for path in ["cat/versions", "cat/versions/1", "upper/versions"] {
        answer_to(limited.get(&format!("/system/function/{path}"))).await.assert_refused(403);
    }
    limited.send(Method::POST, "/system/function/cat/rollback", &json!({})).await.assert_refused(403);
    let reader = watched.holder("reader", &["--role", "read"]).await;
    assert_eq!(versions(&reader, "cat").await[0]["actor"], "stack file");
    reader.send(Method::POST, "/system/function/upper.dev/rollback", &json!({})).await.assert_refused(403);
}

#[tokio::test]
async fn an_update_that_does_not_become_ready_is_rolled_back_and_queued_calls_survive() {
    let platform = Platform::start([]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let slow = |word: &str| Function::new("slow", &format!("sh -c 'sleep 0.1; echo {word}'"));
    site.deploy(&slow("one")).await;
    let mut calls = Vec::new();
    let mut queue = async |count: usize| {
        for _ in 0..count {
            calls.push(gateway.queue("slow", "x").await);
        }
    };
    queue(15).await;
    update(&platform, &slow("two")).await;
    queue(15).await;
    // An update is rolled back to the last version that was ready.
    wait_until("version 2 is ready", async || gateway.function("slow").await.unwrap()["readyVersion"] == 2).await;
    // It never listens.
    let hangs = Function::new("slow", "sleep 1000").env("mode", "http").annotation("skep.update.timeout", "1s");
    update(&platform, &hangs).await;
    queue(15).await;
    let version = rolled_back(gateway, "slow", 3).await;
    assert_eq!((&version["number"], &version["restores"]), (&json!(4), &json!(2)), "{version}");
    let note = version["note"].as_str().unwrap();
    assert!(note.starts_with("version 3 was rolled back: it was not ready after 1s"), "{note}");
    assert_eq!(gateway.call("slow", "x").await.text().trim(), "two");
    let back = gateway.send(Method::POST, "/system/function/slow/rollback", &json!({ "version": 1 })).await;
    assert_eq!(back.status, 202, "{back:?}");
    queue(15).await;
    for call in &calls {
        let status = gateway.finished(call).await;
        assert_eq!(status["state"], "succeeded", "{status}");
    }
    let states: Vec<Value> = versions(gateway, "slow").await.iter().map(|version| version["state"].clone()).collect();
    assert_eq!(states[1..], ["former", "failed", "former", "former"]);
    let entries = answer_to(gateway.get("/system/audit-log?action=rollback&actor=controller")).await.json();
    assert!(entries[0]["details"].as_str().unwrap().starts_with("version 3 was rolled back"), "{entries}");
}

#[tokio::test]
async fn a_version_that_cannot_start_is_rolled_back_at_once_and_deploy_says_so() {
    let platform = Platform::start([Function::echo_http()]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let before = gateway.function("echo").await.unwrap()["instances"].clone();
    let broken = ["deploy", "echo", "--command", "sh -c 'echo no port >&2; exit 9'", "--env", "mode=http"];
    let failed = site.client(&broken).await;
    assert!(failed.stdout.contains("no port"), "the end of its log is shown: {failed:?}");
    failed.failed(1, "echo: version 2 was rolled back: a replica exited with code 1");
    assert_eq!(gateway.call("echo", "x").await.status, 200);
    assert_eq!(gateway.function("echo").await.unwrap()["instances"], before, "its replicas have run all the time");
    let described = site.client(&["describe", "echo"]).await.said();
    assert!(described.contains("by controller: version 2 was rolled back: a replica exited"), "{described}");
    // The previous version is none that has failed.
    site.client(&["rollback", "echo"]).await.failed(1, "no former version");

    let stays = [&broken[..], &["--annotation", "skep.update.timeout=off", "--timeout", "2s"]].concat();
    site.client(&stays).await.failed(1, "echo is not ready after 2s: 0 of 1; the former version continues to serve");
    let function = gateway.function("echo").await.unwrap();
    assert_eq!((&function["version"]["number"], &function["readyVersion"]), (&json!(4), &json!(3)), "{function}");
    // By hand it goes back.
    site.client(&["rollback", "echo"]).await.said();
    assert_eq!(gateway.function("echo").await.unwrap()["instances"], before);
}

#[tokio::test]
async fn a_controller_that_starts_again_goes_on_with_an_update() {
    let mut roles = Roles::start([Function::cat()]).await;
    let gateway = roles.gateway.clone();
    let hangs = Function::new("cat", "sleep 1000").env("mode", "http").annotation("skep.update.timeout", "3s");
    let body = hangs.deployment(roles.site.folder());
    assert_eq!(gateway.send(Method::PUT, "/system/functions", &body).await.status, 202);
    roles.controller.kill();
    let call = gateway.queue("cat", "hello").await;
    roles.controller = roles.site.start_controller().await;
    let version = rolled_back(&gateway, "cat", 2).await;
    assert_eq!(version["restores"], 1, "{version}");
    assert_eq!(gateway.finished(&call).await["state"], "succeeded");
    assert_eq!(numbers(&versions(&gateway, "cat").await), [3, 2, 1]);
}

#[tokio::test]
async fn a_function_of_before_versions_gets_them_and_can_go_back() {
    let mut roles = Roles::start([Function::cat()]).await;
    let gateway = roles.gateway.clone();
    roles.controller.kill();
    let jetstream = async_nats::jetstream::new(roles.site.nats_client().await);
    let registry = jetstream.get_key_value("SKEP_FUNCTIONS").await.unwrap();
    for key in ["spec.cat", "status.cat"] {
        let mut value: Value = serde_json::from_slice(&registry.get(key).await.unwrap().unwrap()).unwrap();
        value.as_object_mut().unwrap().retain(|field, _| !["version", "readyVersion"].contains(&field.as_str()));
        registry.put(key, value.to_string().into()).await.unwrap();
    }
    let kept = jetstream.get_key_value("SKEP_VERSIONS").await.unwrap();
    kept.purge("cat").await.unwrap();
    roles.controller = roles.site.start_controller().await;
    roles.site.wait_for_functions().await;
    let found = versions(&gateway, "cat").await;
    assert_eq!(
        (numbers(&found), &found[0]["cause"], &found[0]["state"]),
        (vec![1], &json!("unknown"), &json!("current"))
    );

    let broken = Function::new("cat", "sh -c 'exit 9'").env("mode", "http");
    let body = broken.deployment(roles.site.folder());
    assert_eq!(gateway.send(Method::PUT, "/system/functions", &body).await.status, 202);
    assert_eq!(rolled_back(&gateway, "cat", 2).await["restores"], 1);
    assert_eq!(gateway.call("cat", "hello").await.text(), "hello");
    assert_eq!(numbers(&versions(&gateway, "cat").await), [3, 2, 1]);
}
