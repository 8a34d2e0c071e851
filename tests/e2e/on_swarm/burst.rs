//! Many long jobs at once, more than the cluster can hold.

use std::{cell::Cell, thread::available_parallelism};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Gateway, Swarm, deployment, wait_for, wait_until};

const JOBS: usize = 300;
const NODES: u8 = 2;
/// Replicas that a node has room for.
const ON_A_NODE: u64 = 8;

/// One job at a time, which takes five seconds.
fn job() -> Value {
    let mut job = deployment("job", "sh -c 'sleep 5; cat'");
    job["envVars"] = json!({ "max_inflight": "1" });
    job["labels"] = json!({ "com.openfaas.scale.max": "40" });
    let cores = available_parallelism().unwrap().get() as u64;
    job["requests"] = json!({ "cpu": format!("{}m", cores * 1000 / ON_A_NODE) });
    job
}

async fn function(gateway: &Gateway) -> Value {
    gateway.function("job").await.unwrap()
}

#[tokio::test]
async fn all_of_300_jobs_of_5_s_succeed_on_as_many_replicas_as_the_cluster_holds_and_it_is_said_that_more_are_needed() {
    let swarm = Swarm::start(NODES).await;
    swarm.make_images().await;
    let gateway = swarm.deploy_stack(&[]).await;
    gateway.deploy(&job()).await;

    let ids = join_all((0..JOBS).map(|number| gateway.queue("job", number.to_string()))).await;
    let most = Cell::new(0);
    let reason = wait_for("all replicas that fit take calls, and more are needed", async || {
        let function = function(&gateway).await;
        most.set(most.get().max(function["availableReplicas"].as_u64().unwrap_or(0)));
        let reason = function["scaling"]["reason"].as_str().unwrap_or_default().to_owned();
        let is_bound = reason.contains(" are needed: ") && reason.contains("insufficient resources");
        (is_bound && most.get() >= u64::from(NODES) * ON_A_NODE).then_some(reason)
    })
    .await;
    assert_eq!(most.get(), u64::from(NODES) * ON_A_NODE, "{reason}");
    eprintln!("{} replicas at most: {reason}", most.get());
    for (number, id) in ids.iter().enumerate() {
        let ended = gateway.finished(id).await;
        assert_eq!((&ended["state"], &ended["attempts"]), (&json!("succeeded"), &json!(1)), "{ended}");
        assert_eq!(gateway.result(id).await.text(), number.to_string());
    }
    wait_until("there is one replica again", async || function(&gateway).await["availableReplicas"] == 1).await;
}
