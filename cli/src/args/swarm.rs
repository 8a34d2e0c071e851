//! The settings of `skep swarm`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use skep_protocol::parse_size;
use url::Url;

use super::values::duration;
use crate::{client::args::ClientArgs, swarm::settings::OFF};

#[derive(Debug, Subcommand)]
pub(crate) enum SwarmCommand {
    /// Check the Swarm, deploy the stack, and wait until all of it is healthy
    ///
    /// Run it on a manager. It reports what it finds and what it will do before it does it. Run it again to change settings or to
    /// update the image, even under the same tag; settings that are not given stay as they are. It runs `docker stack deploy` with
    /// the docker-compose.yml that this program contains.
    #[command(after_help = UP_EXAMPLES)]
    Up(SwarmUpArgs),
    /// Remove the functions and the stack, and wait until they are gone
    Down(SwarmDownArgs),
    /// Copy everything that skep stores to a file on this node, while it runs
    Backup(SwarmBackupArgs),
    /// Replace the password of the admin API, or those of skep on NATS
    Password(SwarmPasswordArgs),
    /// Add functions that still run on the Swarm to a registry that has lost them
    ///
    /// Use it if NATS has lost its data and there is no backup. The service of a function has everything that was deployed
    /// except its secrets: set these first with skep secret set. The service is removed, and the function is deployed again.
    #[command(after_help = ADOPT_EXAMPLES)]
    Adopt(SwarmAdoptArgs),
}

const ADOPT_EXAMPLES: &str = "Examples:
  skep swarm adopt --dry-run
  skep swarm adopt --gateway http://127.0.0.1:8080 --password-file password";

const UP_EXAMPLES: &str = "Examples:
  skep swarm up --dry-run                       look and tell, change nothing
  skep swarm up --init                          turn Swarm on first, if it is off
  skep swarm up --gateways 3 --workers 6        a gateway on each of three nodes
  skep swarm up --ha                            three NATS servers, so that any node may be lost
  skep swarm up --images-port 5757              deploy images without a registry
  skep swarm up --grafana --grafana-port 3000   dashboards, at port 3000 of a manager
  skep swarm up --image registry:5000/skep:1    an image that every node can pull";

#[derive(Debug, Args)]
pub(crate) struct SwarmUpArgs {
    /// The stack's name; functions are on the network NAME_functions
    #[arg(long, env = "SKEP_STACK", default_value = "skep")]
    pub(crate) name: String,
    /// The image of all roles; initially skep/skep:latest
    #[arg(long, env = "SKEP_IMAGE")]
    pub(crate) image: Option<String>,
    /// The gateway's port on its nodes; initially 8080
    #[arg(long, env = "SKEP_PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// The number of gateways, at most one on each node; initially 1
    #[arg(long, env = "SKEP_GATEWAYS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) gateways: Option<u32>,
    /// The number of queue-workers; initially 1
    #[arg(long, env = "SKEP_WORKERS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) workers: Option<u32>,
    /// Three NATS servers on three nodes, at least two gateways and two queue-workers, and a standby controller, so that any single node may fail
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    pub(crate) ha: Option<bool>,
    /// Take MQTT at this port of the node on which NATS runs; 0 turns it off
    #[arg(long, env = "SKEP_MQTT_PORT", value_name = "PORT")]
    pub(crate) mqtt_port: Option<u16>,
    /// Keep images of functions, so that skep deploy needs no registry; engines pull them at this port of their own node; 0 turns it off
    #[arg(long, env = "SKEP_IMAGES_PORT", value_name = "PORT")]
    pub(crate) images_port: Option<u16>,
    #[command(flatten)]
    pub(crate) images: SwarmImagesArgs,
    /// Leave out Prometheus and Alertmanager, and with them alerts; functions scale by their calls without them
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    pub(crate) without_prometheus: Option<bool>,
    #[command(flatten)]
    pub(crate) grafana: GrafanaArgs,
    /// Where the roles send traces: the URL of a collector that speaks OTLP over HTTP, such as http://collector:4318; or off
    #[arg(long, value_name = "URL", value_parser = endpoint)]
    pub(crate) otlp_endpoint: Option<String>,
    /// Encrypt traffic between nodes (IPsec) on networks that are created now; the kernel of each node must support it
    #[arg(long)]
    pub(crate) encrypt_networks: bool,
    /// Restore this backup into the NATS servers, which must be empty, before the roles start
    #[arg(long, value_name = "FILE")]
    pub(crate) restore: Option<PathBuf>,
    /// With --restore: the seal key of the backup is lost, so secrets of sources in it cannot be read
    #[arg(long, requires = "restore")]
    pub(crate) without_secrets: bool,
    /// With --ha: this node is gone for good, and its NATS server moves to another one
    #[arg(long, value_name = "NODE")]
    pub(crate) replace_node: Option<String>,
    /// Turn Swarm on (docker swarm init) if it is off
    #[arg(long)]
    pub(crate) init: bool,
    /// Only show what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How long to wait until everything is healthy
    #[arg(long, default_value = "180s", value_parser = duration)]
    pub(crate) wait: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct SwarmImagesArgs {
    /// With --images-port: how many bytes of images are kept; beyond that, no further ones are accepted; initially 8GiB
    #[arg(long, env = "SKEP_IMAGES_BYTES", value_parser = size)]
    pub(crate) images_bytes: Option<String>,
    /// With --images-port: how long an image is kept that no function and no version of one needs; initially 1h
    #[arg(long, env = "SKEP_IMAGES_KEEP", value_parser = time)]
    pub(crate) images_keep: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct GrafanaArgs {
    /// Add Grafana, with skep's dashboards; it has a password and no port
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    pub(crate) grafana: Option<bool>,
    /// Grafana's port on its node, for everyone who can reach the node; 0 turns it off
    #[arg(long, value_name = "PORT")]
    pub(crate) grafana_port: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct SwarmBackupArgs {
    /// The file to write; it must not exist
    pub(crate) file: PathBuf,
    /// The stack's name
    #[arg(long, env = "SKEP_STACK", default_value = "skep")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct SwarmPasswordArgs {
    /// The stack's name
    #[arg(long, env = "SKEP_STACK", default_value = "skep")]
    pub(crate) name: String,
    /// Make a new password, show it once, and replace the old one on all gateways
    #[arg(long)]
    pub(crate) rotate: bool,
    /// Make new passwords on NATS for gateways, queue-workers, controller and backups; the old ones stay valid until all roles have the new ones, so no call is lost
    #[arg(long, conflicts_with = "rotate")]
    pub(crate) rotate_nats: bool,
    /// How long to wait until everything is healthy
    #[arg(long, default_value = "180s", value_parser = duration)]
    pub(crate) wait: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct SwarmAdoptArgs {
    /// Only say which functions would be adopted
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// A number of bytes, as it was written.
fn size(text: &str) -> Result<String, String> {
    parse_size(text).map(|_| text.to_owned())
}

/// A time, as it was written.
fn time(text: &str) -> Result<String, String> {
    duration(text).map(|_| text.to_owned())
}

/// A URL, or what takes it away.
fn endpoint(text: &str) -> Result<String, String> {
    if text == OFF {
        return Ok(text.to_owned());
    }
    text.parse::<Url>().map(|url| url.to_string()).map_err(|error| error.to_string())
}

#[derive(Debug, Args)]
pub(crate) struct SwarmDownArgs {
    /// The stack's name
    #[arg(long, env = "SKEP_STACK", default_value = "skep")]
    pub(crate) name: String,
    /// Remove the volumes and secrets too, and with them all queued calls and results
    #[arg(long)]
    pub(crate) volumes: bool,
    /// How long to wait until everything is gone
    #[arg(long, default_value = "180s", value_parser = duration)]
    pub(crate) wait: Duration,
}

/// What `skep swarm down --volumes` starts on each other node.
#[derive(Debug, Args)]
pub(crate) struct RemoveVolumesArgs {
    #[arg(required = true)]
    pub(crate) volumes: Vec<String>,
    /// The name of this node
    #[arg(long, env = "NODE")]
    pub(crate) node: String,
}
