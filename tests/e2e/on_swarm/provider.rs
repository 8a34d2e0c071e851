//! Functions as services of a real Swarm: what the controller makes of a deployment, and what it says when it cannot.

use futures_util::StreamExt;
use http::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, FUNCTION, Gateway, Swarm, answer_to, wait_for, wait_until};

/// The stack on one node, with a controller that answers.
async fn start() -> (Swarm, Gateway) {
    let swarm = Swarm::start(1).await;
    swarm.make_images().await;
    let gateway = swarm.deploy_stack(&[]).await;
    wait_until("the controller answers", async || {
        answer_to(gateway.get("/system/info")).await.json()["provider"].is_object()
    })
    .await;
    (swarm, gateway)
}

async fn put(gateway: &Gateway, method: Method, deployment: Value) -> Answer {
    gateway.send(method, "/system/functions", &deployment).await
}

async fn deploy(gateway: &Gateway, deployment: Value) {
    let name = deployment["service"].as_str().unwrap().to_owned();
    let answer = put(gateway, Method::POST, deployment).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    gateway.wait_for_replicas(&name, 1).await;
}

fn function(name: &str, command: &str) -> Value {
    json!({ "service": name, "image": FUNCTION, "envProcess": command })
}

fn with(mut deployment: Value, field: &str, value: Value) -> Value {
    deployment[field] = value;
    deployment
}

/// Calls a function until it answers so.
async fn wait_for_answer(gateway: &Gateway, name: &str, wanted: &str) {
    wait_until(&format!("{name} answers {wanted:?}"), async || {
        let answer = gateway.call(name, "").await;
        answer.status == 200 && answer.text() == wanted
    })
    .await;
}

#[tokio::test]
async fn a_function_lives_on_a_swarm_from_deploy_to_delete() {
    let (swarm, gateway) = start().await;
    let manager = swarm.manager();
    let info = answer_to(gateway.get("/system/info")).await.json();
    assert_eq!([&info["provider"]["provider"], &info["provider"]["orchestration"]], ["skep-swarm", "swarm"]);

    // A replica that is announced answers the first call.
    let limits = json!({ "memory": "5Mi", "cpu": "100m" });
    let asked = with(function("cat", "cat"), "labels", json!({ "team": "bees" }));
    deploy(&gateway, with(asked, "limits", json!({ "memory": "64Mi" }))).await;
    assert_eq!(gateway.call("cat", "hello").await.text(), "hello");
    let status = gateway.function("cat").await.unwrap();
    assert_eq!((&status["image"], &status["labels"]["team"]), (&FUNCTION.into(), &"bees".into()));
    assert!(status.get("problem").is_none() && status.get("constraints").is_none(), "{status}");
    let again = put(&gateway, Method::POST, function("cat", "cat")).await;
    again.assert_refused(409);
    deploy(&gateway, function("status", "cat /proc/self/status")).await;
    let status = gateway.call("status", "").await.text();
    // The engine sets it for services from Docker 27 on.
    let engine = manager.docker(&["version", "--format", "{{.Server.Version}}"]).await;
    let release: u32 = engine.trim().split('.').next().unwrap().parse().unwrap();
    let gains_none = (release >= 27).then_some("NoNewPrivs:\t1");
    let has_none = ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000"];
    for line in has_none.into_iter().chain(gains_none) {
        assert!(status.contains(line), "{line}: {status}");
    }

    gateway.scale("cat", 3).await;
    gateway.wait_for_replicas("cat", 3).await;
    gateway.scale("cat", 0).await;
    gateway.wait_for_replicas("cat", 0).await;
    let tasks = ["service", "ps", "--quiet", "--filter", "desired-state=running", "cat"];
    wait_until("the end of the tasks", async || manager.docker(&tasks).await.is_empty()).await;
    gateway.scale("cat", 1).await;
    gateway.wait_for_replicas("cat", 1).await;

    // An update takes everything away that it does not name.
    let update = with(function("cat", "env"), "envVars", json!({ "A": "1" }));
    let answer = put(&gateway, Method::PUT, with(update, "limits", limits)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let text = wait_for("the new variable", async || {
        Some(gateway.call("cat", "").await.text()).filter(|text| text.contains("A=1\n"))
    })
    .await;
    assert!(text.contains("OPENFAAS_NAME=cat\n") && text.contains("OPENFAAS_NAMESPACE=openfaas-fn\n"), "{text}");
    let status = gateway.function("cat").await.unwrap();
    assert_eq!(status["limits"], json!({ "memory": "5Mi", "cpu": "100m" }));
    assert_eq!(put(&gateway, Method::PUT, function("nobody", "cat")).await.status, 404);

    // What somebody does to the service by hand does not last.
    manager.docker(&["service", "rm", "cat"]).await;
    wait_until("the service is there again", async || manager.try_docker(&["service", "inspect", "cat"]).await.is_ok())
        .await;
    gateway.wait_for_replicas("cat", 1).await;

    let answer = put(&gateway, Method::DELETE, json!({ "functionName": "cat" })).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(gateway.call("cat", "").await.status, 404);
    wait_until("the end of the service", async || manager.try_docker(&["service", "inspect", "cat"]).await.is_err())
        .await;
}

#[tokio::test]
async fn secrets_reach_functions_and_a_new_value_does_too() {
    let (swarm, gateway) = start().await;
    let secret = async |method, value: &str| {
        gateway.send(method, "/system/secrets", &json!({ "name": "key", "value": value })).await.status
    };
    assert_eq!(secret(Method::PUT, "none").await, 404);
    assert_eq!(secret(Method::POST, "one").await, 201);
    assert_eq!(secret(Method::POST, "other").await, 409);
    let reader = with(function("reader", "cat /var/openfaas/secrets/key"), "secrets", json!(["key"]));
    let reader = with(reader, "readOnlyRootFilesystem", json!(true));
    deploy(&gateway, reader).await;
    assert_eq!(gateway.call("reader", "").await.text(), "one");

    assert_eq!(secret(Method::PUT, "two").await, 202);
    wait_for_answer(&gateway, "reader", "two").await;
    // The former value goes when nothing uses it any more.
    let versions = ["secret", "ls", "--format", "{{.Name}}", "--filter", "label=skep.secret=key"];
    wait_until("one version", async || swarm.manager().docker(&versions).await == "key-v2").await;
    assert_eq!(answer_to(gateway.get("/system/secrets")).await.json(), json!([{ "name": "key" }]));

    let refused = gateway.send(Method::DELETE, "/system/secrets", &json!({ "name": "key" })).await;
    refused.assert_refused(409);
    assert!(refused.text().contains("reader"), "{refused:?}");
    assert_eq!(put(&gateway, Method::DELETE, json!({ "functionName": "reader" })).await.status, 202);
    wait_until("the secret can go", async || secret(Method::DELETE, "").await == 200).await;
    assert_eq!(answer_to(gateway.get("/system/secrets")).await.text(), "[]");
}

#[tokio::test]
async fn what_cannot_run_says_why() {
    let (swarm, gateway) = start().await;

    // What can be known beforehand is refused, and nothing is left of it.
    for (field, value, reason) in [
        ("image", json!(""), "there is no image"),
        ("image", json!("Not An Image"), "not a valid repository/tag"),
        ("network", json!("nowhere"), "has no network nowhere"),
        ("secrets", json!(["nothing"]), "secret nothing not found"),
        ("registryAuth", json!("%%"), "Invalid registry auth"),
        ("constraints", json!(["node.role ~ manager"]), "constraint"),
        ("limits", json!({ "memory": "much" }), "memory \"much\""),
        ("requests", json!({ "cpu": "fast" }), "cpu \"fast\""),
        ("labels", json!({ "skep.function": "g" }), "skep's own"),
        ("labels", json!({ "com.docker.stack.namespace": "skep" }), "Docker's own"),
        ("network", json!("skep_platform"), "is not for functions"),
        ("annotations", json!({ "skep.capabilities": "SYS_ADMIN" }), "--function-capabilities SYS_ADMIN"),
    ] {
        let answer = put(&gateway, Method::POST, with(function("bad", "cat"), field, value)).await;
        answer.assert_refused(400);
        assert!(answer.text().contains(reason), "{field}: {answer:?}");
        assert!(gateway.function("bad").await.is_none(), "{field}");
        assert!(swarm.manager().try_docker(&["service", "inspect", "bad"]).await.is_err(), "{field}");
    }

    // What turns out later is in the function's status, in Swarm's words.
    for (name, deployment, reason) in [
        ("missing", with(function("missing", "cat"), "image", json!("no-such/image:1")), "No such image"),
        ("nowhere", with(function("nowhere", "cat"), "constraints", json!(["node.labels.x == y"])), "no suitable node"),
        ("crashing", with(function("crashing", "cat"), "envVars", json!({ "mode": "no-such-mode" })), "non-zero exit"),
    ] {
        assert_eq!(put(&gateway, Method::POST, deployment).await.status, 202);
        wait_until(&format!("{name} says why"), async || {
            let status = gateway.function(name).await.unwrap();
            status["problem"].as_str().is_some_and(|problem| problem.contains(reason))
        })
        .await;
        let listed = answer_to(gateway.get("/system/functions")).await.json();
        assert!(listed.as_array().unwrap().iter().any(|one| one["name"] == name && one["problem"].is_string()));
    }

    // It is well again as soon as it can be.
    let answer = put(&gateway, Method::PUT, function("crashing", "cat")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    gateway.wait_for_replicas("crashing", 1).await;
    wait_until("no problem", async || gateway.function("crashing").await.unwrap().get("problem").is_none()).await;

    // An update that fails is taken back by Swarm, and what was there goes on.
    let broken = with(function("crashing", "cat"), "image", json!("no-such/image:2"));
    assert_eq!(put(&gateway, Method::PUT, broken).await.status, 202);
    let version = wait_for("the update is taken back", async || {
        assert_eq!(gateway.call("crashing", "still here").await.text(), "still here");
        let version = gateway.function("crashing").await.unwrap()["version"].clone();
        Some(version).filter(|version| version["cause"] == "automatic-rollback")
    })
    .await;
    assert!(version["note"].as_str().unwrap().contains("No such image"), "{version}");
}

#[tokio::test]
async fn a_program_that_never_becomes_ready_does_not_replace_one_that_serves() {
    let (swarm, gateway) = start().await;
    let http = |command: &str| {
        with(function("server", command), "envVars", json!({ "mode": "http", "upstream_url": "http://127.0.0.1:7070" }))
    };
    // A watchdog of its own is the program that serves.
    let serves =
        "sh -c 'unset mode upstream_url; port=7070 metrics_port=0 suppress_lock=true fprocess=cat exec fwatchdog'";
    deploy(&gateway, http(serves)).await;
    assert_eq!(gateway.call("server", "good").await.text(), "good");

    let answer = put(&gateway, Method::PUT, http("sh -c 'exit 3'")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let version = wait_for("the update is taken back, and is a version", async || {
        assert_eq!(gateway.call("server", "still here").await.text(), "still here");
        let status = gateway.function("server").await.unwrap();
        assert_eq!(status["availableReplicas"], 1, "{status}");
        Some(status["version"].clone()).filter(|version| version["cause"] == "automatic-rollback")
    })
    .await;
    let note = version["note"].as_str().unwrap();
    assert!(note.starts_with("version 2 was rolled back") && note.contains("non-zero exit (1)"), "{version}");
    let running = ["service", "ps", "--quiet", "--filter", "desired-state=running", "server"];
    wait_until("one task", async || swarm.manager().docker(&running).await.lines().count() == 1).await;

    // One that starts and never serves is seen too, and its predecessor goes on.
    let answer = put(&gateway, Method::PUT, http("sleep 1000")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    wait_until("the problem is shown", async || {
        assert_eq!(gateway.call("server", "still here").await.text(), "still here");
        let status = gateway.function("server").await.unwrap();
        status["problem"].as_str().is_some_and(|problem| problem.contains("not ready"))
    })
    .await;
}

#[tokio::test]
async fn logs_are_those_of_the_engine() {
    let (swarm, gateway) = start().await;
    let speaker = function("speaker", r#"sh -c 'echo "said $(cat)" >&2'"#);
    deploy(&gateway, with(speaker, "envVars", json!({ "combine_output": "false" }))).await;
    for word in ["one", "two", "three"] {
        gateway.call("speaker", word).await;
    }
    let ask = async |query: &str| {
        let answer = answer_to(gateway.get(&format!("/system/logs?name=speaker{query}"))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let lines: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines
    };
    let is_said = |line: &&Value| line["text"].as_str().unwrap().contains("said ");
    let all =
        wait_for("three lines", async || Some(ask("").await).filter(|lines| lines.iter().filter(is_said).count() == 3))
            .await;
    let task = swarm.manager().docker(&["service", "ps", "--quiet", "--no-trunc", "speaker"]).await;
    let said: Vec<&Value> = all.iter().filter(is_said).collect();
    assert_eq!((&said[0]["name"], said[0]["instance"].as_str().unwrap()), (&"speaker".into(), task.as_str()));
    let since = said[2]["timestamp"].as_str().unwrap();
    assert_eq!(ask(&format!("&since={since}")).await.iter().filter(is_said).count(), 1);
    assert_eq!(ask("&tail=2").await.len(), 2);
    assert_eq!(ask(&format!("&instance={task}")).await.iter().filter(is_said).count(), 3);
    assert!(ask("&instance=another").await.is_empty());

    // A line says which call it is of, as those of local functions do.
    gateway.post("/function/speaker").header("X-Call-Id", "order-17").body("six").send().await.unwrap();
    let line = wait_for("the line of a call", async || {
        ask("").await.into_iter().find(|line| line["text"].as_str().unwrap().contains("said six"))
    })
    .await;
    assert_eq!(line["callId"], "order-17", "{line}");
    assert!(!line["text"].as_str().unwrap().contains('\u{1e}'), "{line}");

    let response = gateway.get("/system/logs?name=speaker&follow=true").send().await.unwrap();
    let (mut pieces, mut text) = (response.bytes_stream(), String::new());
    for word in ["three", "four", "five"] {
        if word != "three" {
            gateway.call("speaker", word).await;
        }
        while !text.contains(&format!("said {word}")) {
            text.push_str(std::str::from_utf8(&pieces.next().await.unwrap().unwrap()).unwrap());
        }
    }
    for word in ["one", "two", "three", "four", "five"] {
        assert_eq!(text.matches(&format!("said {word}\"")).count(), 1, "{word}: {text}");
    }
}

#[tokio::test]
async fn another_controller_takes_over_when_one_is_killed() {
    let (swarm, gateway) = start().await;
    let manager = swarm.manager();
    deploy(&gateway, function("cat", "cat")).await;
    manager.docker(&["service", "scale", "--detach", "skep_controller=2"]).await;
    let containers = async || {
        let filter = "label=com.docker.swarm.service.name=skep_controller";
        let found = manager.docker(&["ps", "--quiet", "--filter", filter]).await;
        found.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    wait_until("two controllers", async || containers().await.len() == 2).await;
    let says = async |container: &str, what: &str| {
        let logs = manager.command(&["logs", container]).output().unwrap();
        String::from_utf8_lossy(&logs.stderr).contains(what)
    };
    let mut active = Vec::new();
    for container in containers().await {
        if says(&container, "the controller is active").await {
            active.push(container);
        }
    }
    assert_eq!(active.len(), 1, "one at a time");
    manager.docker(&["kill", &active[0]]).await;
    // While nobody looks after it the function goes on.
    assert_eq!(gateway.call("cat", "alone").await.text(), "alone");
    wait_until("the other is active", async || {
        let answer = gateway
            .send(Method::POST, "/system/scale-function/cat", &json!({ "serviceName": "cat", "replicas": 2 }))
            .await;
        answer.status == 202
    })
    .await;
    gateway.wait_for_replicas("cat", 2).await;
}
