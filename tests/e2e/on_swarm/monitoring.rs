//! Prometheus and Alertmanager in the stack: they see skep, and have it scale.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Load, Others, Swarm, deployment, wait_until};

const PROMETHEUS: &str = "http://127.0.0.1:9090/api/v1";
const ALERTMANAGER: &str = "http://127.0.0.1:9093/api/v2";

#[tokio::test]
async fn a_function_that_is_called_often_has_more_replicas_until_it_is_not() {
    let others = Others::fetch();
    let swarm = Swarm::start(1).await;
    swarm.make_images().await;
    swarm.make_monitoring_images(&others).await;
    let gateway = swarm.deploy_stack(&[("SKEP_PROMETHEUS", "1")]).await;
    let mut function = deployment("echo", "cat");
    function["labels"] = json!({ "com.openfaas.scale.max": "3", "com.openfaas.scale.factor": "50" });
    gateway.deploy(&function).await;
    wait_until("all roles are seen", async || roles_seen(&swarm).await.len() == 3).await;
    wait_until("Alertmanager is found", async || {
        let reported = swarm.ask("skep_prometheus", &format!("{PROMETHEUS}/alertmanagers")).await;
        reported["data"]["activeAlertmanagers"].as_array().unwrap().len() == 1
    })
    .await;

    let replicas = async || gateway.function("echo").await.unwrap()["replicas"].as_u64().unwrap();
    assert_eq!(replicas().await, 1);
    let load = Load::start(std::slice::from_ref(&gateway), "echo");
    wait_until("another replica", async || replicas().await > 1).await;
    let alerts = swarm.ask("skep_alertmanager", &format!("{ALERTMANAGER}/alerts")).await;
    let is_high = |alert: &Value| {
        [&alert["labels"]["alertname"], &alert["labels"]["function_name"]] == ["APIHighInvocationRate", "echo"]
    };
    // On a busy machine there may be others.
    assert!(alerts.as_array().unwrap().iter().any(is_high), "{alerts}");
    gateway.wait_for_replicas("echo", 3).await;
    let tally = load.stop().await;
    assert!(tally.failed.is_empty(), "{tally:?}");

    wait_until("all calls are counted", async || {
        let query = "query?query=sum(gateway_function_invocation_total{function_name=\"echo\",code=\"200\"})";
        let reported = swarm.ask("skep_prometheus", &format!("{PROMETHEUS}/{query}")).await;
        let count = reported["data"]["result"][0]["value"][1].as_str().unwrap_or("0").parse::<usize>().unwrap();
        count == tally.answered
    })
    .await;
    wait_until("one replica as at first", async || replicas().await == 1).await;
}

/// The jobs of Prometheus whose targets are all up.
async fn roles_seen(swarm: &Swarm) -> BTreeSet<String> {
    let reported = swarm.ask("skep_prometheus", &format!("{PROMETHEUS}/targets")).await;
    let targets = reported["data"]["activeTargets"].as_array().unwrap();
    let job = |target: &Value| target["labels"]["job"].as_str().unwrap().to_owned();
    let down: BTreeSet<String> = targets.iter().filter(|target| target["health"] != "up").map(job).collect();
    targets.iter().map(job).filter(|job| !down.contains(job)).collect()
}
