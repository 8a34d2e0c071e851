//! Machines that come and go by a node hook, while the controller is killed in each state.

use std::{fs, thread::available_parallelism};

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Gateway, Machines, Swarm, deployment, wait_for, wait_until};

/// Tells the controller of the hook, as `docs/node-hook.md` says.
async fn set_hook(swarm: &Swarm, machines: &Machines) {
    let folder = tempfile::tempdir().unwrap();
    let (key, authority) = (folder.path().join("key"), folder.path().join("authority.pem"));
    fs::write(&key, Machines::KEY).unwrap();
    fs::write(&authority, &machines.certificate).unwrap();
    let manager = swarm.manager();
    manager.docker(&["secret", "create", "node-hook-key", key.to_str().unwrap()]).await;
    manager.docker(&["config", "create", "authority", authority.to_str().unwrap()]).await;
    let hook = format!("SKEP_NODE_HOOK={}", machines.url);
    let mut update = vec!["service", "update", "--quiet", "--secret-add", "node-hook-key"];
    update.extend(["--config-add", "source=authority,target=/authority.pem"]);
    let settings = ["SKEP_NODE_HOOK_KEY_FILE=/run/secrets/node-hook-key", "SSL_CERT_FILE=/authority.pem"];
    for setting in settings.into_iter().chain([&*hook, "SKEP_NODES_MAX=2", "SKEP_NODE_START=120s", "SKEP_NODE_IDLE=5s"])
    {
        update.extend(["--env-add", setting]);
    }
    update.push("skep_controller");
    manager.docker(&update).await;
}

/// A function of which one task fits on a node, and no two.
fn large(name: &str) -> Value {
    let cores = available_parallelism().unwrap().get();
    let mut function = deployment(name, "cat");
    function["requests"] = json!({ "cpu": format!("{}m", cores * 600) });
    function
}

async fn kill_controller(swarm: &Swarm) {
    let manager = swarm.manager();
    let filter = "label=com.docker.swarm.service.name=skep_controller";
    let running = async || manager.docker(&["ps", "--quiet", "--filter", filter]).await;
    let container = wait_for("a controller", async || Some(running().await).filter(|id| !id.is_empty())).await;
    manager.docker(&["kill", &container]).await;
}

/// Waits until these nodes are in this state, or further.
async fn wait_for_state(swarm: &Swarm, nodes: &[&str], state: &str) {
    let order = ["active", "pausing", "draining", "removing"];
    let place = |state: &str| order.iter().position(|other| *other == state);
    for node in nodes {
        let inspect = ["node", "inspect", "--format", "{{index .Spec.Labels \"skep.node.state\"}}", node];
        wait_until(&format!("{node} is {state}"), async || {
            let now = swarm.manager().docker(&inspect).await;
            place(&now) >= place(state) && place(&now).is_some()
        })
        .await;
    }
}

async fn wait_for_nodes(swarm: &Swarm, expected: &[&str]) {
    wait_until(&format!("the nodes are {expected:?}"), async || {
        let nodes = swarm.manager().docker(&["node", "ls", "--format", "{{.Hostname}}"]).await;
        let mut nodes: Vec<_> = nodes.lines().collect();
        nodes.sort_unstable();
        nodes == expected
    })
    .await;
}

async fn scale(gateway: &Gateway, function: &str, replicas: u64) {
    let wanted = json!({ "serviceName": function, "replicas": replicas });
    wait_until("a controller that scales", async || {
        let path = format!("/system/scale-function/{function}");
        gateway.send(Method::POST, &path, &wanted).await.status == 202
    })
    .await;
}

/// A Swarm of one node with a hook, which has room for the function `near` and not for `far`.
async fn start(far: &[(&str, &str)], prepare: impl FnOnce(&Machines)) -> (Swarm, Gateway, Machines) {
    let swarm = Swarm::start(1).await;
    swarm.make_images().await;
    let gateway = swarm.deploy_stack(&[]).await;
    let machines = Machines::start(Swarm::here()).await;
    prepare(&machines);
    set_hook(&swarm, &machines).await;
    let deployed = async |function: &Value| {
        wait_until("it is deployed", async || {
            let answer = gateway.send(Method::POST, "/system/functions", function).await;
            answer.status == 202 || answer.status == 409
        })
        .await;
    };
    deployed(&large("near")).await;
    gateway.wait_for_replicas("near", 1).await;
    let mut function = large("far");
    function["labels"] = far.iter().copied().collect();
    deployed(&function).await;
    (swarm, gateway, machines)
}

#[tokio::test]
async fn two_machines_come_for_what_waits_and_go_when_idle_although_the_controller_is_killed_in_each_state() {
    let (mut swarm, gateway, machines) =
        start(&[("com.openfaas.scale.min", "2")], |machines| machines.refuse(true)).await;
    let refused = machines.wait_for("add", 1).await.remove(0);
    let pending = &refused["pending"][0];
    assert_eq!((&refused["count"], &pending["function"], &pending["tasks"]), (&json!(2), &json!("far"), &json!(2)));
    kill_controller(&swarm).await;
    machines.refuse(false);
    let accepted = machines.wait_for("add", 2).await.remove(1);
    assert_eq!(accepted["key"], refused["key"], "another controller asks for the same");
    kill_controller(&swarm).await;
    for (node, number) in [("node2", 2), ("node3", 3)] {
        machines.add(node);
        swarm.add_worker(number).await;
    }
    wait_for_state(&swarm, &["node2", "node3"], "active").await;
    kill_controller(&swarm).await;
    gateway.wait_for_replicas("far", 2).await;
    assert_eq!(gateway.call("far", "honey").await.text(), "honey");

    scale(&gateway, "far", 0).await;
    for state in ["pausing", "draining"] {
        wait_for_state(&swarm, &["node2", "node3"], state).await;
        kill_controller(&swarm).await;
    }
    machines.refuse(true);
    let removals = wait_for("both are to go", async || {
        let mut asked: Vec<_> = machines.asked("remove").iter().map(|ask| ask["hostname"].clone()).collect();
        asked.dedup();
        Some(machines.asked("remove")).filter(|_| asked.len() >= 2)
    })
    .await;
    kill_controller(&swarm).await;
    machines.refuse(false);
    let again = machines.wait_for("remove", removals.len() + 2).await.split_off(removals.len());
    assert!(again.iter().all(|ask| removals.contains(ask)), "another controller asks for the same: {again:?}");
    ["node2", "node3"].iter().for_each(|node| machines.remove(node));
    wait_for_nodes(&swarm, &["node1"]).await;
    // It may be asked again if the controller died before it had noted the answer.
    assert!(machines.asked("add").iter().all(|ask| ask["key"] == refused["key"]), "{:?}", machines.asked("add"));
}

#[tokio::test]
async fn a_hook_that_hangs_adds_none_and_then_adds_twice_leaves_no_machine_behind() {
    let (mut swarm, gateway, machines) = start(&[], |machines| machines.hang(true)).await;
    let first = machines.wait_for("add", 1).await.remove(0);
    gateway.deploy(&deployment("meanwhile", "cat")).await;
    assert_eq!(gateway.call("meanwhile", "wax").await.text(), "wax");
    // The call is given up, and comes again.
    let again = machines.wait_for("add", 2).await.remove(1);
    assert_eq!((again["key"].clone(), machines.asked("add").len()), (first["key"].clone(), 2));
    machines.hang(false);
    // It was accepted, and no machine comes.
    let other = machines.wait_for("add", 3).await.remove(2);
    assert!(other["key"] != first["key"] && other["count"] == 1, "{other}");
    for (node, number) in [("node2", 2), ("node3", 3)] {
        machines.add(node);
        swarm.add_worker(number).await;
    }
    gateway.wait_for_replicas("far", 1).await;
    let removal = machines.wait_for("remove", 1).await.remove(0);
    let idle = removal["hostname"].as_str().unwrap();
    let busy = if idle == "node2" { "node3" } else { "node2" };
    machines.remove(idle);
    wait_for_nodes(&swarm, &["node1", busy]).await;
    assert_eq!(gateway.call("far", "honey").await.text(), "honey");
    scale(&gateway, "far", 0).await;
    machines.wait_for("remove", 2).await;
    machines.remove(busy);
    wait_for_nodes(&swarm, &["node1"]).await;
    assert_eq!(machines.asked("add").len(), 3);
}
