//! The settings of `skep swarm`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::values::duration;

#[derive(Debug, Subcommand)]
pub(crate) enum SwarmCommand {
    /// Check the Swarm, deploy the stack, and wait until all of it is healthy
    ///
    /// Run it on a manager. It says what it finds and what it will do before it does it, and again it updates what has
    /// changed: other settings, or an image of another tag. It runs `docker stack deploy` with the docker-compose.yml that
    /// this program carries.
    #[command(after_help = UP_EXAMPLES)]
    Up(SwarmUpArgs),
    /// Remove the functions and the stack, and wait until they are gone
    Down(SwarmDownArgs),
}

const UP_EXAMPLES: &str = "Examples:
  skep swarm up --dry-run                       look and tell, change nothing
  skep swarm up --init                          turn Swarm on first, if it is off
  skep swarm up --gateways 3 --workers 6        a gateway on each of three nodes
  skep swarm up --image registry:5000/skep:1    an image that every node can pull";

#[derive(Debug, Args)]
pub(crate) struct SwarmUpArgs {
    /// The stack's name; functions are on the network NAME_functions
    #[arg(long, env = "SKEP_STACK", default_value = "skep")]
    pub(crate) name: String,
    /// The image of all roles
    #[arg(long, env = "SKEP_IMAGE", default_value = "skep/skep:latest")]
    pub(crate) image: String,
    /// The gateway's port on its nodes
    #[arg(long, env = "SKEP_PORT", default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,
    /// How many gateways; one to a node at most
    #[arg(long, env = "SKEP_GATEWAYS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) gateways: u32,
    /// How many queue-workers
    #[arg(long, env = "SKEP_WORKERS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) workers: u32,
    /// Leave out Prometheus and Alertmanager, and with them scaling by load
    #[arg(long)]
    pub(crate) without_prometheus: bool,
    /// Encrypt what goes between nodes (IPsec), on networks that are made now; the kernel of each node must have it
    #[arg(long)]
    pub(crate) encrypt_networks: bool,
    /// Turn Swarm on (docker swarm init) if it is off
    #[arg(long)]
    pub(crate) init: bool,
    /// Only look, and say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How long to wait until everything is healthy
    #[arg(long, default_value = "180s", value_parser = duration)]
    pub(crate) wait: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct SwarmDownArgs {
    /// The stack's name
    #[arg(long, env = "SKEP_STACK", default_value = "skep")]
    pub(crate) name: String,
    /// Remove the volumes and secrets too: queued calls and results are gone with them
    #[arg(long)]
    pub(crate) volumes: bool,
    /// How long to wait until everything is gone
    #[arg(long, default_value = "180s", value_parser = duration)]
    pub(crate) wait: Duration,
}
