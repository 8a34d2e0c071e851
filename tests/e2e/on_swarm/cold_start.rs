//! A function that sleeps on a Swarm is woken by its call; how long that takes is printed, next to `docker run` of the same image.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{FUNCTION, Gateway, Swarm, deployment, wait_for, wait_until};

/// The median of these runs is printed.
const STARTS: usize = 7;

#[tokio::test]
async fn a_function_that_sleeps_is_woken_by_a_call_on_whichever_node_it_is() {
    let swarm = Swarm::start(2).await;
    swarm.make_images().await;
    let gateway = swarm.deploy_stack(&[("SKEP_GATEWAYS", "2")]).await;
    for (name, node, what) in
        [("near", "node1", "a call, on the node of the gateway"), ("far", "node2", "a call, on another node")]
    {
        let mut function = deployment(name, "cat");
        function["constraints"] = json!([format!("node.hostname == {node}")]);
        gateway.deploy(&function).await;
        let mut woken = Vec::new();
        for _ in 0..STARTS {
            woken.push(wake(&swarm, &gateway, name).await);
        }
        tell(what, woken);
    }
    let mut run = Vec::new();
    for _ in 0..STARTS {
        run.push(docker_run(&swarm).await);
    }
    tell("docker run and a call", run);
}

/// Puts a function to sleep, and times the call that wakes it.
async fn wake(swarm: &Swarm, gateway: &Gateway, name: &str) -> Duration {
    gateway.scale(name, 0).await;
    gateway.wait_for_replicas(name, 0).await;
    let label = format!("label=com.openfaas.function={name}");
    for node in &swarm.nodes {
        let containers = ["ps", "--quiet", "--filter", &label];
        wait_until("the end of its container", async || node.docker(&containers).await.is_empty()).await;
    }
    let begun = Instant::now();
    assert_eq!(gateway.call(name, "honey").await.text(), "honey");
    begun.elapsed()
}

/// Times what a user would do by hand: run the image, and call it as soon as it answers.
async fn docker_run(swarm: &Swarm) -> Duration {
    let manager = swarm.manager();
    let function = Gateway::new(format!("http://{}:8081", manager.address));
    let begun = Instant::now();
    let run = ["run", "--detach", "--env", "fprocess=cat", "--publish", "8081:8080", FUNCTION];
    let container = manager.docker(&run).await;
    wait_for("an answer", async || function.post("/").body("honey").send().await.ok()).await;
    let took = begun.elapsed();
    manager.docker(&["rm", "--force", &container]).await;
    took
}

fn tell(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let [median, least, most] = [STARTS / 2, 0, STARTS - 1].map(|place| took[place].as_millis());
    eprintln!("cold start, {what}: {median} ms ({least} to {most})");
}
