//! Docker engines of the tests' own, joined to a Swarm: nothing of the machine's own engine or network is touched.

mod callers;
mod functions;
mod images;
mod load;
mod machines;
mod node;
mod relay;
mod stack;
mod world;

use std::net::Ipv4Addr;

use self::world::World;
pub(crate) use self::{
    callers::{Callers, Calling, Outage},
    functions::deployment,
    images::{FUNCTION, Others},
    load::Load,
    machines::Machines,
    node::Node,
    relay::EngineRelay,
};
use super::wait_until;

/// A Swarm of engines on one machine. The first node is the manager.
pub(crate) struct Swarm {
    pub(crate) nodes: Vec<Node>,
    // Last, so that the engines have ended before their world does.
    world: World,
}

impl Swarm {
    /// Starts engines and joins them; this thread then is in their network.
    pub(crate) async fn start(nodes: u8) -> Self {
        let world = World::create().await;
        world.enter();
        let mut swarm = Self { nodes: Vec::new(), world };
        for number in 1..=nodes {
            swarm.nodes.push(Node::launch(&swarm.world, number));
        }
        for node in &mut swarm.nodes {
            node.wait_until_up().await;
        }
        let manager = swarm.manager();
        manager.docker(&["swarm", "init", "--advertise-addr", &manager.address.to_string()]).await;
        for node in &swarm.nodes[1..] {
            swarm.join(node).await;
        }
        swarm
    }

    /// Starts one more engine, gives it the image of functions, and joins it.
    pub(crate) async fn add_worker(&mut self, number: u8) {
        self.add_worker_with(number, FUNCTION).await;
    }

    /// The same with another image.
    pub(crate) async fn add_worker_with(&mut self, number: u8, image: &str) {
        let mut node = Node::launch(&self.world, number);
        node.wait_until_up().await;
        self.take_to(image, &[&node]).await;
        self.join(&node).await;
        self.nodes.push(node);
    }

    /// Starts one more engine that may run all of the platform, and joins it.
    pub(crate) async fn add_node(&mut self, number: u8) {
        let mut node = Node::launch(&self.world, number);
        node.wait_until_up().await;
        self.take_all_to(&node).await;
        self.join(&node).await;
        self.nodes.push(node);
    }

    async fn join(&self, node: &Node) {
        let manager = self.manager();
        let token = manager.docker(&["swarm", "join-token", "--quiet", "worker"]).await;
        let (address, manager) = (node.address.to_string(), format!("{}:2377", manager.address));
        let join = ["swarm", "join", "--token", &token, "--advertise-addr", &address, &manager];
        match node.try_docker(&join).await {
            Ok(_) => {}
            // Docker waits for twenty seconds only.
            Err(said) if said.contains("will continue in the background") => {
                let state = ["info", "--format", "{{.Swarm.LocalNodeState}}"];
                wait_until("the node has joined", async || node.docker(&state).await == "active").await;
            }
            Err(said) => panic!("docker swarm join: {said}"),
        }
    }

    /// An address of the test that the nodes reach.
    pub(crate) fn here() -> Ipv4Addr {
        Ipv4Addr::new(10, 200, 0, 254)
    }

    pub(crate) fn manager(&self) -> &Node {
        &self.nodes[0]
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let manager = self.manager();
        let show = |arguments: &[&str]| {
            let output = manager.command(arguments).output().map(|output| [output.stdout, output.stderr].concat());
            String::from_utf8_lossy(&output.unwrap_or_default()).into_owned()
        };
        eprintln!("--- the services:\n{}", show(&["service", "ls"]));
        for service in show(&["service", "ls", "--quiet"]).lines() {
            eprintln!("{}", show(&["service", "ps", "--no-trunc", service]));
            eprintln!("{}", show(&["service", "logs", "--tail", "15", service]));
        }
    }
}
