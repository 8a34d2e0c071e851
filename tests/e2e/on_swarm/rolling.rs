//! Updates under load lose nothing.

use std::{collections::BTreeSet, time::Duration};

use http::Method;
use serde_json::json;

use crate::harness::{Gateway, Load, Receiver, Swarm, answer_to, deployment, wait_for, wait_until};

/// Starts two nodes with a gateway on each, two workers, and a function with two replicas.
async fn start() -> (Swarm, Vec<Gateway>) {
    let swarm = Swarm::start(2).await;
    swarm.make_images().await;
    swarm.deploy_stack(&[("SKEP_GATEWAYS", "2"), ("SKEP_WORKERS", "2"), ("SKEP_CALLBACK_ALLOW", "private")]).await;
    let gateways = swarm.gateways();
    gateways[0].deploy(&echo("first")).await;
    (swarm, gateways)
}

/// Answers with its input; the version makes another deployment of it.
fn echo(version: &str) -> serde_json::Value {
    let mut function = deployment("echo", "cat");
    function["labels"] = json!({ "com.openfaas.scale.min": "2" });
    function["envVars"] = json!({ "version": version });
    function
}

/// Makes Swarm replace all tasks of a service, and waits until it has.
async fn replace(swarm: &Swarm, service: &str) {
    swarm.manager().docker(&["service", "update", "--detach", "--force", service]).await;
    wait_until(&format!("the update of {service}"), async || {
        // There is none before Swarm begins.
        let state = "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}";
        let state = ["service", "inspect", "--format", state, service];
        let state = swarm.manager().docker(&state).await;
        assert!(!state.starts_with("rollback") && state != "paused", "{service}: {state}");
        state == "completed"
    })
    .await;
}

#[tokio::test]
async fn updates_of_function_gateways_and_workers_fail_no_synchronous_call() {
    let (swarm, gateways) = start().await;
    let load = Load::start(&gateways, "echo");
    let updated = gateways[0].send(Method::PUT, "/system/functions", &echo("second")).await;
    assert_eq!(updated.status, 202, "{updated:?}");
    wait_until("only the second version", async || {
        let tasks = ["service", "ps", "--filter", "desired-state=running", "--format", "{{.ID}}", "echo"];
        let tasks = swarm.manager().docker(&tasks).await;
        let inspect = ["inspect", "--format", "{{.Status.State}} {{.Spec.ContainerSpec.Env}}"];
        let tasks = swarm.manager().docker(&[&inspect[..], &tasks.lines().collect::<Vec<_>>()].concat()).await;
        tasks.lines().count() == 2 && tasks.lines().all(|task| task.starts_with("running") && task.contains("=second"))
    })
    .await;
    let tally = load.stop().await;
    assert!(tally.failed.is_empty() && tally.answered > 100, "function update: {tally:?}");

    for service in ["skep_gateway", "skep_queue-worker"] {
        let load = Load::start(&gateways, "echo");
        replace(&swarm, service).await;
        let tally = load.stop().await;
        assert!(tally.failed.is_empty() && tally.answered > 100, "{service}: {tally:?}");
        eprintln!("{service}: {} calls", tally.answered);
    }
}

#[tokio::test]
async fn workers_and_nats_that_are_replaced_lose_no_accepted_call() {
    let (swarm, gateways) = start().await;
    let receiver = Receiver::start_at((Swarm::here(), 0).into()).await;
    for service in ["skep_queue-worker", "skep_nats"] {
        let replaced = replace(&swarm, service);
        let mut replaced = std::pin::pin!(replaced);
        let (mut accepted, mut is_replaced) = (BTreeSet::new(), false);
        while !is_replaced || accepted.len() <= 50 {
            let submit = gateways[0].post("/async-function/echo").header("X-Callback-Url", &receiver.url).body("x");
            let answer = answer_to(submit).await;
            match answer.status {
                202 => assert!(accepted.insert(answer.header("x-call-id").to_owned())),
                503 if service == "skep_nats" => {}
                _ => panic!("{service}: {answer:?}"),
            }
            is_replaced = is_replaced || tokio::time::timeout(Duration::from_millis(20), &mut replaced).await.is_ok();
        }
        for id in &accepted {
            let finished = gateways[1].finished(id).await;
            assert_eq!(finished["state"], "succeeded", "{finished}");
        }
        let calls = wait_for("all callbacks", async || {
            let callbacks = receiver.callbacks();
            let calls: BTreeSet<String> = callbacks.iter().map(|one| one.header("x-call-id").to_owned()).collect();
            accepted.is_subset(&calls).then_some(callbacks.len())
        })
        .await;
        eprintln!("{service}: {} accepted, {calls} callbacks so far", accepted.len());
    }
}
