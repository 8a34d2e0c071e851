//! Three NATS servers: any node may be lost, a node that is gone for good is replaced, and data comes to them by a restore.

use std::{path::Path, time::Instant};

use serde_json::{Value, json};

use super::one_command::{gateway, gateways, skep};
use crate::harness::{Callers, Calling, Gateway, Node, Outage, Swarm, answer_to, deployment, wait_until};

/// Three managers with the images of the platform.
async fn managers() -> Swarm {
    let swarm = Swarm::start(3).await;
    for node in &swarm.nodes[1..] {
        swarm.manager().docker(&["node", "promote", &node.name]).await;
    }
    swarm.make_images().await;
    swarm
}

/// Waits until three servers answer, and each stream has a leader and three replicas that are up to date.
async fn wait_until_whole(gateway: &Gateway) {
    wait_until("all streams are whole", async || {
        let health = answer_to(gateway.get("/system/nats")).await;
        let health = if health.status == 200 { health.json() } else { return false };
        let (servers, streams) = (health["servers"].as_array().unwrap(), health["streams"].as_array().unwrap());
        let is_whole =
            |stream: &Value| stream["replicas"] == 3 && stream["leader"].is_string() && stream["behind"].is_null();
        let are_up = servers.len() == 3 && servers.iter().all(|server| server["away"].is_null());
        are_up && health["leader"].is_string() && streams.len() > 10 && streams.iter().all(is_whole)
    })
    .await;
}

/// Callers of all kinds, through these gateways.
struct Load {
    sync: Callers,
    queue: Callers,
}

impl Load {
    async fn start(gateways: &[Gateway]) -> Self {
        let load =
            Self { sync: Callers::start(Calling::Sync, gateways), queue: Callers::start(Calling::Queue, gateways) };
        wait_until("calls are answered", async || load.sync.answered() > 20 && load.queue.answered() > 20).await;
        load
    }

    async fn report(&self, what: &str, since: Instant) {
        for (name, callers) in [("accepts", &self.queue), ("synchronous calls", &self.sync)] {
            let Outage { gap, until_all_prompt, refused, calls } = callers.outage_since(since).await;
            eprintln!(
                "{what}: {name}: no answer for {gap:.1?}, the last bad call ended after {until_all_prompt:.1?}, \
                 {refused} of {calls} were refused"
            );
        }
    }
}

/// All that was accepted.
#[derive(Default)]
struct Accepted {
    ids: Vec<String>,
    looked_up: usize,
    unknown: usize,
}

impl Accepted {
    fn take(&mut self, load: &Load) {
        self.ids.extend(load.queue.accepted());
        let (looked_up, unknown) = load.queue.looked_up();
        self.looked_up += looked_up;
        self.unknown += unknown;
    }

    /// Each call has one record, and that says that it succeeded.
    async fn all_succeeded(&self, swarm: &Swarm, gateway: &Gateway) {
        for some in self.ids.chunks(16) {
            let ends = futures_util::future::join_all(some.iter().map(|id| gateway.finished(id))).await;
            assert!(ends.iter().all(|end| end["state"] == "succeeded"), "{ends:?}");
        }
        let report = swarm.ask("skep_nats-1", "http://127.0.0.1:8222/jsz?streams=true").await;
        let streams = report["account_details"][0]["stream_detail"].as_array().unwrap();
        let records = &streams.iter().find(|stream| stream["name"] == "SKEP_CALLS").unwrap()["state"];
        assert_eq!(records["messages"], records["num_subjects"], "one record for each call");
        let (ids, looked_up, unknown) = (self.ids.len(), self.looked_up, self.unknown);
        eprintln!(
            "{ids} calls were accepted, and all of them ran; {unknown} of {looked_up} were unknown to another gateway"
        );
        assert_eq!(unknown, 0);
    }
}

/// The node on which a NATS server runs, and its container.
async fn server<'a>(swarm: &'a Swarm, name: &str) -> (&'a Node, String) {
    let filter = format!("label=com.docker.swarm.service.name=skep_{name}");
    for node in &swarm.nodes {
        let container = node.docker(&["ps", "--quiet", "--filter", &filter]).await;
        if !container.is_empty() {
            return (node, container);
        }
    }
    panic!("{name} runs nowhere")
}

/// Stops one NATS server as an update does, and kills the one that leads the stream of new calls.
async fn interrupt_servers(swarm: &Swarm, gateways: &[Gateway], accepted: &mut Accepted) {
    let load = Load::start(gateways).await;
    let stopped = Instant::now();
    swarm.manager().docker(&["service", "update", "--quiet", "--force", "skep_nats-1"]).await;
    load.report("nats-1 was restarted", stopped).await;
    wait_until_whole(&gateways[0]).await;

    let health = answer_to(gateways[0].get("/system/nats")).await.json();
    let calls = health["streams"].as_array().unwrap().iter().find(|stream| stream["name"] == "SKEP_INVOKE").unwrap();
    let leader = calls["leader"].as_str().unwrap();
    let (node, container) = server(swarm, leader).await;
    let killed = Instant::now();
    node.docker(&["kill", "--signal", "KILL", &container]).await;
    load.report(&format!("{leader} was killed, which led SKEP_INVOKE"), killed).await;
    accepted.take(&load);
    drop(load);
    wait_until_whole(&gateways[0]).await;
}

/// Cuts off each node in turn.
async fn lose_each_node(swarm: &Swarm, gateways: &[Gateway], accepted: &mut Accepted) {
    for number in 0..3 {
        let others: Vec<Gateway> =
            (0..3).filter(|other| *other != number).map(|other| gateways[other].clone()).collect();
        let load = Load::start(&others).await;
        let cut_off = Instant::now();
        swarm.nodes[number].set_link("down");
        load.report(&format!("without {}", swarm.nodes[number].name), cut_off).await;
        swarm.nodes[number].set_link("up");
        accepted.take(&load);
        drop(load);
        wait_until_whole(&gateways[0]).await;
        wait_until_back(&gateways[number]).await;
    }
}

/// Waits until the gateway of a node that was cut off answers, and knows all replicas.
async fn wait_until_back(gateway: &Gateway) {
    wait_until("its gateway is back, and knows all replicas", async || {
        // Swarm replaces the one that ran while it was cut off.
        let Ok(answer) = gateway.get("/system/function/echo").send().await else { return false };
        let text = answer.text().await.unwrap_or_default();
        serde_json::from_str::<Value>(&text).is_ok_and(|echo| echo["availableReplicas"] == 3)
    })
    .await;
}

/// Cuts off two nodes, and then lets one of them come back.
async fn lose_two_nodes(swarm: &Swarm, gateways: &[Gateway], accepted: &mut Accepted) {
    let load = Load::start(&gateways[..1]).await;
    let cut_off = Instant::now();
    swarm.nodes[1..].iter().for_each(|node| node.set_link("down"));
    wait_until("it is refused", async || load.queue.refusals(cut_off).iter().any(|why| why.contains("503"))).await;
    let health = || async { answer_to(gateways[0].get("/system/nats")).await.json() };
    let is_told = |health: &Value| {
        let problems = health["problems"].as_array().unwrap();
        problems.iter().any(|problem| problem["what"].as_str().unwrap().contains("1 of 3 NATS servers answer"))
    };
    wait_until("the gateway says why", async || is_told(&health().await)).await;
    eprintln!("without two nodes: {:?}", load.queue.refusals(cut_off).last());
    let before = load.sync.answered();
    wait_until("synchronous calls go on", async || load.sync.answered() > before + 50).await;
    let back = Instant::now();
    swarm.nodes[2].set_link("up");
    load.report("one of two nodes is back", back).await;
    swarm.nodes[1].set_link("up");
    accepted.take(&load);
    drop(load);
    wait_until_whole(&gateways[0]).await;
    for gateway in gateways {
        wait_until_back(gateway).await;
    }
}

#[tokio::test]
async fn any_node_may_be_lost_and_a_new_one_takes_its_place() {
    let mut swarm = managers().await;
    let up = ["swarm", "up", "--ha", "--without-prometheus", "--gateways", "3", "--workers", "3", "--wait", "10m"];
    let (code, said) = skep(&swarm, &up).await;
    assert_eq!(code, Some(0), "{said}");
    let gateways = gateways(&swarm, &said);
    let mut echo = deployment("echo", "cat");
    echo["labels"] = json!({ "com.openfaas.scale.min": "3" });
    gateways[0].deploy(&echo).await;
    wait_until_whole(&gateways[0]).await;
    let (_, said) = skep(&swarm, &["doctor"]).await;
    assert!(said.contains("3 of 3 servers answer") && said.contains("streams are whole"), "{said}");

    let mut accepted = Accepted::default();
    interrupt_servers(&swarm, &gateways, &mut accepted).await;
    lose_each_node(&swarm, &gateways, &mut accepted).await;
    lose_two_nodes(&swarm, &gateways, &mut accepted).await;

    let lost = swarm.nodes[1].name.clone();
    let load = Load::start(&[gateways[0].clone(), gateways[2].clone()]).await;
    let killed = Instant::now();
    swarm.nodes[1].kill();
    load.report("a node has died", killed).await;
    let doctor = async || skep(&swarm, &["doctor"]).await.1;
    let steps = format!("skep swarm up --replace-node {lost}, then docker node demote {lost}, then docker node rm");
    let words = [format!("the node {lost} is down"), steps, "2 of 3 servers answer".to_owned()];
    wait_until("it is noticed", async || {
        let said = doctor().await;
        words.iter().all(|word| said.contains(word))
    })
    .await;
    swarm.add_node(4).await;
    let (code, said) = skep(&swarm, &["swarm", "up", "--replace-node", &lost, "--wait", "10m"]).await;
    assert!(code == Some(0) && said.contains("nats-2 is on node4"), "{said}");
    wait_until_whole(&gateways[0]).await;
    accepted.take(&load);
    drop(load);
    accepted.all_succeeded(&swarm, &gateways[0]).await;
}

/// Brings what is stored to as many servers as `ha` asks for, as docs/operations.md says.
async fn move_to(swarm: &Swarm, ha: &[&str], folder: &Path) {
    let stop = ["service", "scale", "skep_gateway=0", "skep_queue-worker=0", "skep_controller=0"];
    swarm.manager().docker(&stop).await;
    let file = folder.join(format!("before{}.skep", ha[0]));
    let file = file.to_str().unwrap();
    let (code, said) = skep(swarm, &["swarm", "backup", file]).await;
    assert!(code == Some(0) && said.contains(&format!("{file} has everything")), "{said}");
    let (code, said) = skep(swarm, &["swarm", "down"]).await;
    assert_eq!(code, Some(0), "{said}");
    let up = [&["swarm", "up", "--restore", file, "--wait", "10m"], ha].concat();
    let (code, said) = skep(swarm, &up).await;
    assert!(code == Some(0) && said.contains("restored"), "{said}");
    // What was not named is as it was before.
    assert!(!said.contains("  prometheus    1") && !said.contains("shown only here"), "{said}");
}

#[tokio::test]
async fn what_one_server_had_comes_to_three_by_a_backup_and_back() {
    let swarm = managers().await;
    let (code, said) = skep(&swarm, &["swarm", "up", "--without-prometheus"]).await;
    assert_eq!(code, Some(0), "{said}");
    let (gateway, gateways) = (gateway(&swarm, &said), gateways(&swarm, &said));
    gateway.deploy(&deployment("echo", "cat")).await;
    let done = gateway.queue("echo", "done").await;
    gateway.finished(&done).await;
    let later = gateway.queue_later("echo", "1h").await;
    let (code, said) = skep(&swarm, &["swarm", "up", "--ha"]).await;
    assert!(code == Some(2) && said.contains("--restore"), "{said}");

    let folder = tempfile::tempdir().unwrap();
    move_to(&swarm, &["--ha", "--gateways", "3"], folder.path()).await;
    let is_there = async |gateway: &Gateway| {
        wait_until("the function answers", async || gateway.call("echo", "again").await.text() == "again").await;
        assert_eq!(gateway.result(&done).await.text(), "done");
        assert_eq!(gateway.call_status(&later).await.unwrap()["state"], "scheduled");
    };
    is_there(&gateways[0]).await;
    wait_until_whole(&gateways[0]).await;
    replace_passwords(&swarm, &gateways).await;

    // The stack finds its servers and passwords again.
    let (code, said) = skep(&swarm, &["swarm", "down"]).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = skep(&swarm, &["swarm", "up", "--wait", "10m"]).await;
    assert!(code == Some(0) && said.contains("nats          3"), "{said}");
    is_there(&gateways[0]).await;

    swarm.manager().docker(&["volume", "rm", "skep_nats"]).await;
    move_to(&swarm, &["--ha=false"], folder.path()).await;
    is_there(&gateways[0]).await;
    let (code, said) = skep(&swarm, &["swarm", "down", "--volumes"]).await;
    assert_eq!(code, Some(0), "{said}");
    for node in &swarm.nodes {
        assert_eq!(node.docker(&["volume", "ls", "--quiet"]).await, "", "{}", node.name);
    }
    for what in ["secret", "config", "service"] {
        assert_eq!(swarm.manager().docker(&[what, "ls", "--quiet"]).await, "", "{what}");
    }
    is_there(&restore_without_its_key(&swarm, folder.path()).await).await;
}

/// The key that secrets are sealed with is gone, so a restore is refused unless it may leave them out.
async fn restore_without_its_key(swarm: &Swarm, folder: &Path) -> Gateway {
    let file = folder.join("before--ha=false.skep");
    let up = ["swarm", "up", "--without-prometheus", "--wait", "10m", "--restore", file.to_str().unwrap()];
    let (code, said) = skep(swarm, &up).await;
    let gateway = gateways(swarm, &said)[0].clone();
    let why = "the secret skep-seal-key: the backup is sealed with another key";
    assert!(code == Some(2) && said.contains(why) && said.contains("--without-secrets"), "{said}");
    let (code, said) = skep(swarm, &[&up[..], &["--without-secrets"]].concat()).await;
    assert!(code == Some(0) && said.contains("restored"), "{said}");
    gateway
}

/// Each NATS server is updated twice, one at a time, and each role once.
async fn replace_passwords(swarm: &Swarm, gateways: &[Gateway]) {
    let load = Load::start(gateways).await;
    let begun = Instant::now();
    let (code, said) = skep(swarm, &["swarm", "password", "--rotate-nats", "--wait", "10m"]).await;
    assert_eq!(code, Some(0), "{said}");
    load.report("other passwords on NATS", begun).await;
    let mut accepted = Accepted::default();
    accepted.take(&load);
    drop(load);
    accepted.all_succeeded(swarm, &gateways[0]).await;
    wait_until_whole(&gateways[0]).await;
}
