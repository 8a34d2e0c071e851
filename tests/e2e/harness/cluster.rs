//! Three NATS servers that are one.

use std::{fs, net::SocketAddr};

use rustix::process::Signal;

use super::{Program, Site, free_address, wait_until};

pub(crate) struct Cluster {
    servers: Vec<Server>,
}

struct Server {
    name: String,
    address: SocketAddr,
    route: SocketAddr,
    monitor: SocketAddr,
    program: Option<Program>,
}

impl Cluster {
    /// Starts three servers, and lets the roles of the site use them.
    pub(crate) async fn start(site: &mut Site) -> Self {
        let server = |number| Server {
            name: format!("nats-{number}"),
            address: free_address(),
            route: free_address(),
            monitor: free_address(),
            program: None,
        };
        let mut cluster = Self { servers: (1..=3).map(server).collect() };
        let list = |scheme: &str, address: fn(&Server) -> SocketAddr| {
            let urls = cluster.servers.iter().map(|server| format!("{scheme}://{}", address(server)));
            urls.collect::<Vec<_>>().join(",")
        };
        site.nats_url = list("nats", |server| server.address);
        site.bus_arguments = ["--nats-replicas", "3", "--nats-monitor"].map(str::to_owned).to_vec();
        site.bus_arguments.push(list("http", |server| server.monitor));
        for name in ["nats-1", "nats-2", "nats-3"] {
            cluster.start_server(site, name);
        }
        for server in &cluster.servers {
            let listens = async || tokio::net::TcpStream::connect(server.address).await.is_ok();
            wait_until("nats-server listens", listens).await;
        }
        cluster
    }

    pub(crate) fn start_server(&mut self, site: &Site, name: &str) {
        let routes: Vec<String> = self.servers.iter().map(|server| format!("nats://{}", server.route)).collect();
        let server = self.servers.iter_mut().find(|server| server.name == name).unwrap();
        let configuration = site.path(&format!("{name}.conf"));
        let ours = format!(
            "\nserver_name: {name}\nping_interval: \"2s\"\nping_max: 2\ncluster {{ name: skep, listen: {:?}, routes: {routes:?}\n  \
             ping_interval: \"2s\", ping_max: 2 }}\n",
            server.route.to_string(),
        );
        let common = fs::read_to_string(&site.nats_configuration).unwrap();
        fs::write(&configuration, common + &ours).unwrap();
        let program = site.nats_program(&configuration, server.address, server.monitor, &site.path(name));
        server.program = Some(program);
    }

    /// A server stands still: its connections stay, and it answers nothing, as when its machine is cut off.
    pub(crate) async fn suspend(&self, name: &str) {
        let server = self.servers.iter().find(|server| server.name == name).unwrap();
        server.program.as_ref().unwrap().suspend().await;
    }

    pub(crate) fn resume(&self, name: &str) {
        let server = self.servers.iter().find(|server| server.name == name).unwrap();
        server.program.as_ref().unwrap().signal(Signal::CONT);
    }

    /// Kills a server with -9.
    pub(crate) fn kill(&mut self, name: &str) {
        let server = self.servers.iter_mut().find(|server| server.name == name).unwrap();
        server.program.take().unwrap().kill();
    }
}
