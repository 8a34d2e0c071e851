//! Settings of commands that look at this machine.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};
use skep_bus::ServerUrls;
use skep_protocol::Subjects;
use url::Url;

use super::{NatsLoginArgs, values::subjects};

pub(crate) const DOCTOR_EXAMPLES: &str = "Examples:
  skep doctor                                   this machine, the skep up of this folder, and its Swarm
  skep doctor --data-dir /var/lib/skep          a skep up with another folder
  skep doctor --nats-url nats://one:4222,nats://two:4222,nats://three:4222 --nats-user-password-file operator \\
      --nats-monitor http://one:8222,http://two:8222,http://three:8222

It measures how long the disk takes to sync, how long small and large requests to NATS take, and how much
clocks differ. On a Swarm, the container of a role on this node measures this, together with a temporary
one that has the volume of NATS.";

/// What of it is looked at, when one in a container asks for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DoctorPart {
    Nats,
    Disk,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Where a gateway listens, or should
    #[arg(long, env = "SKEP_LISTEN", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// The nats-server program that skep up would start; by default the one on PATH, beside skep, or fetched before
    #[arg(long, env = "SKEP_NATS_SERVER")]
    pub(crate) nats_server: Option<PathBuf>,
    /// The name of the stack on the Swarm
    #[arg(long, env = "SKEP_STACK", default_value = "skep")]
    pub(crate) name: String,
    /// The data folder of skep up, whose disk and NATS server are measured
    #[arg(long, env = "SKEP_DATA_DIR", value_name = "FOLDER", default_value = ".skep")]
    pub(crate) data_dir: PathBuf,
    /// Look at these NATS servers, separated by commas
    #[arg(long, env = "SKEP_NATS_URL")]
    pub(crate) nats_url: Option<ServerUrls>,
    #[command(flatten)]
    pub(crate) login: NatsLoginArgs,
    /// Where the servers report about themselves, separated by commas
    #[arg(long, env = "SKEP_NATS_MONITOR", value_delimiter = ',', value_name = "URL")]
    pub(crate) nats_monitor: Vec<Url>,
    /// The first word of every subject, stream and bucket
    #[arg(long, env = "SKEP_SUBJECT_PREFIX", default_value = "skep", value_parser = subjects)]
    pub(crate) subject_prefix: Subjects,
    /// Print what was found as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[arg(long, hide = true)]
    pub(crate) part: Option<DoctorPart>,
}

#[derive(Debug, Args)]
pub(crate) struct HealthcheckArgs {
    /// Where the role's metrics and health listen; instead of 0.0.0.0, 127.0.0.1 is asked
    #[arg(long, env = "SKEP_ADMIN_LISTEN", default_value = "127.0.0.1:8082")]
    pub(crate) admin_listen: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct GuardArgs {
    pub(crate) parent: u32,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub(crate) program: Vec<OsString>,
}
