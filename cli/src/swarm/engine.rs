//! What is known of the engine and the Swarm that `docker` speaks to.

use std::path::Path;

use super::docker::{Refused, docker};

/// Stack files ask for dropped capabilities and a bound on processes, which engines know since 20.10.
pub(crate) const OLDEST_API: (u32, u32) = (1, 41);

const FACTS: &str = "{{.ServerVersion}}|{{.Swarm.LocalNodeState}}|{{.Swarm.ControlAvailable}}|{{.Swarm.NodeAddr}}\
                     |{{.Swarm.NodeID}}|{{.Swarm.Nodes}}|{{.Swarm.Managers}}";

pub(crate) struct Engine {
    pub(crate) version: String,
    pub(crate) api: String,
    /// Whether it runs on this machine, so that ports and files can be looked at.
    pub(crate) is_local: bool,
    /// The Swarm, if it is on.
    pub(crate) swarm: Option<Membership>,
}

pub(crate) struct Membership {
    pub(crate) is_manager: bool,
    pub(crate) address: String,
    pub(crate) node: String,
    pub(crate) nodes: u32,
    pub(crate) managers: u32,
}

impl Engine {
    pub(crate) async fn ask() -> Result<Self, Refused> {
        let api = docker(&["version", "--format", "{{.Server.APIVersion}}"]).await?;
        let facts = docker(&["info", "--format", FACTS]).await?;
        let facts: Vec<&str> = facts.split('|').collect();
        let [version, state, is_manager, address, node, nodes, managers] = facts[..] else {
            return Err(Refused(format!("docker info said something unknown: {}", facts.join("|"))));
        };
        let swarm = (state == "active").then(|| Membership {
            is_manager: is_manager == "true",
            address: address.to_owned(),
            node: node.to_owned(),
            nodes: nodes.parse().unwrap_or(1),
            managers: managers.parse().unwrap_or(1),
        });
        let context = docker(&["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]).await;
        let is_local = context.is_ok_and(|host| host.starts_with("unix://"));
        Ok(Self { version: version.to_owned(), api, is_local, swarm })
    }

    pub(crate) fn is_new_enough(&self) -> bool {
        let mut numbers = self.api.split('.').map(str::parse);
        matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= OLDEST_API)
    }

    /// Whether the kernel forwards to virtual addresses; unknown of an engine elsewhere.
    pub(crate) fn has_ipvs(&self) -> Option<bool> {
        self.is_local.then(|| Path::new("/proc/net/ip_vs").exists())
    }
}
