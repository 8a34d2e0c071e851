//! A node that is cut off, and one that dies: callers hardly notice, and no accepted call is lost.

use std::time::Instant;

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::harness::{Gateway, Swarm, answer_to, deployment, wait_until};

/// Calls that must be answered without a miss before callers are taken to be well again.
const IN_A_ROW: usize = 100;

/// Three nodes with all of the platform but NATS and the controller on each, and two functions.
async fn start() -> Swarm {
    let swarm = Swarm::start(3).await;
    swarm.make_images().await;
    let gateway = swarm.deploy_stack(&[("SKEP_GATEWAYS", "3"), ("SKEP_WORKERS", "3")]).await;
    gateway.deploy(&on_each_node("echo", "cat")).await;
    // It says when it begins, and waiting for its timeout takes longer than this test does.
    let mut nap = on_each_node("nap", "sh -c 'echo begun >&2; sleep 8; cat'");
    nap["envVars"] = json!({ "combine_output": "false", "exec_timeout": "10m" });
    gateway.deploy(&nap).await;
    swarm
}

fn on_each_node(name: &str, command: &str) -> Value {
    let mut function = deployment(name, command);
    function["labels"] = json!({ "com.openfaas.scale.min": "3" });
    function
}

/// The tasks of a service that are to run, as `ID NODE STATE`.
async fn tasks(swarm: &Swarm, service: &str) -> Vec<String> {
    let format = ["--no-trunc", "--format", "{{.ID}} {{.Node}} {{.CurrentState}}"];
    let list = [&["service", "ps", "--filter", "desired-state=running"], &format[..], &[service]].concat();
    swarm.manager().docker(&list).await.lines().map(str::to_owned).collect()
}

fn all_run(tasks: &[String]) -> bool {
    tasks.len() == 3 && tasks.iter().all(|task| task.contains(" Running "))
}

/// Queues calls that take a while, and returns when the replica on a node works on one of them.
async fn calls_in_flight_on(swarm: &Swarm, node: &str, gateway: &Gateway) -> Vec<String> {
    let mut calls = Vec::new();
    for _ in 0..12 {
        calls.push(gateway.queue("nap", "well rested").await);
    }
    let tasks = tasks(swarm, "nap").await;
    let task = tasks.iter().find(|task| task.contains(&format!(" {node} "))).unwrap().split(' ').next().unwrap();
    wait_until("a call in flight on the node", async || {
        let lines = answer_to(gateway.get(&format!("/system/logs?name=nap&instance={task}&follow=false"))).await;
        lines.text().contains("begun")
    })
    .await;
    calls
}

/// Queues calls all the time, until Swarm runs all replicas on the nodes that are left.
async fn calls_until_moved(swarm: &Swarm, lost: &str, gateway: &Gateway) -> Vec<String> {
    let mut calls = Vec::new();
    wait_until("all replicas are on the nodes that are left", async || {
        calls.push(gateway.queue("echo", "still there").await);
        let mut moved = true;
        for service in ["echo", "nap", "skep_queue-worker"] {
            let tasks = tasks(swarm, service).await;
            moved &= all_run(&tasks) && !tasks.iter().any(|task| task.contains(&format!(" {lost} ")));
        }
        moved
    })
    .await;
    calls
}

/// Calls until the answers come without a miss.
async fn wait_for_good_calls(gateways: &[&Gateway], since: &str) {
    let (begun, mut well_since, mut in_a_row, mut missed) = (Instant::now(), Instant::now(), 0, 0);
    wait_until("calls are answered", async || {
        let called = Instant::now();
        let answer = gateways[in_a_row % gateways.len()].call("echo", "hello").await;
        in_a_row += 1;
        if answer.status != 200 || answer.text() != "hello" {
            eprintln!("after {:.1?}: {}", called.elapsed(), answer.text());
            (well_since, in_a_row, missed) = (Instant::now(), 0, missed + 1);
        }
        in_a_row == IN_A_ROW
    })
    .await;
    eprintln!("{since}: calls are answered after {:.1?}, {missed} were not", well_since - begun);
}

/// How many records there are of how many calls.
async fn records(swarm: &Swarm) -> (u64, u64) {
    let reported = swarm.ask("skep_nats", "http://127.0.0.1:8222/jsz?streams=true").await;
    let streams = reported["account_details"][0]["stream_detail"].as_array().unwrap();
    let calls = &streams.iter().find(|stream| stream["name"] == "SKEP_CALLS").unwrap()["state"];
    (calls["messages"].as_u64().unwrap(), calls["num_subjects"].as_u64().unwrap())
}

/// Waits until all have succeeded, and returns how many of them were begun after that time.
async fn all_succeed(gateway: &Gateway, calls: &[String], after: OffsetDateTime) -> usize {
    let mut later = 0;
    for id in calls {
        let finished = gateway.finished(id).await;
        assert_eq!(finished["state"], "succeeded", "{finished}");
        let started = OffsetDateTime::parse(finished["startedAt"].as_str().unwrap(), &Rfc3339).unwrap();
        later += usize::from(started > after);
    }
    later
}

#[tokio::test]
async fn a_node_that_is_cut_off_or_dies_takes_no_accepted_call_with_it() {
    let mut swarm = start().await;
    let gateways = swarm.gateways();

    // The third node is cut off, and goes on alone.
    let mut calls = calls_in_flight_on(&swarm, "node3", &gateways[0]).await;
    let cut_off = OffsetDateTime::now_utc();
    swarm.nodes[2].set_link("down");
    let meanwhile = calls_until_moved(&swarm, "node3", &gateways[0]).await;
    wait_for_good_calls(&[&gateways[0], &gateways[1]], "after Swarm has moved what was cut off").await;
    // All of them ran, so one that begins now ran there; that it is another attempt it says only if its worker was elsewhere.
    assert!(all_succeed(&gateways[0], &calls, cut_off).await > 0, "a call was on the node that was cut off");
    all_succeed(&gateways[0], &meanwhile, cut_off).await;
    calls.extend(meanwhile);

    // It comes back, with workers and replicas that know nothing of what has happened.
    swarm.nodes[2].set_link("up");
    wait_until("the whole stack is healthy again", async || swarm.unhealthy().await.is_empty()).await;
    // Its former gateway counts as healthy while Swarm still has to stop it.
    wait_until("its new gateway runs", async || all_run(&tasks(&swarm, "skep_gateway").await)).await;
    gateways[2].wait_for_replicas("echo", 3).await;
    wait_for_good_calls(&[&gateways[2]], "by the node that has come back").await;

    // Now the second node dies, and there is no controller that would say that its replicas are gone.
    let doomed = calls_in_flight_on(&swarm, "node2", &gateways[0]).await;
    swarm.manager().docker(&["service", "scale", "skep_controller=0"]).await;
    swarm.nodes[1].kill();
    wait_for_good_calls(&[&gateways[0], &gateways[2]], "without a controller, after a node has died").await;
    swarm.manager().docker(&["service", "scale", "--detach", "skep_controller=1"]).await;
    let meanwhile = calls_until_moved(&swarm, "node2", &gateways[0]).await;
    wait_for_good_calls(&[&gateways[0], &gateways[2]], "after Swarm has moved what has died").await;
    for calls in [&doomed, &meanwhile] {
        all_succeed(&gateways[2], calls, cut_off).await;
    }
    calls.extend(doomed.into_iter().chain(meanwhile));

    let count = calls.len() as u64;
    assert_eq!(records(&swarm).await, (count, count), "one record for each call");
}
