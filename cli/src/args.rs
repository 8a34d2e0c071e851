//! Every setting: a flag, a variable `SKEP_…`, a default, and a line that says what it is for.

mod audit;
mod backup;
mod calls;
mod gateway;
mod images;
mod limits;
mod log;
mod machine;
mod nats;
mod nodes;
mod provider;
mod scaling;
mod sources;
mod swarm;
mod token;
mod trace;
mod values;
mod worker;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use skep_bus::ServerUrls;
use skep_protocol::{DefaultNamespace, Subjects, parse_size};
use skep_provider::DockerHost;
use url::Url;

use self::values::{default_namespace, duration, replicas, subjects};
pub(crate) use self::{
    audit::PeriodicAuditArgs,
    backup::{BACKUP_EXAMPLES, BackupArgs, RESTORE_EXAMPLES, RestoreArgs, StoredArgs},
    calls::{CallArgs, WakeArgs},
    gateway::{GatewayArgs, ListenArgs},
    images::{ImageRelayRole, ImagesArgs, ImagesKeepArgs},
    limits::LimitArgs,
    log::{LogArgs, LogFormat},
    machine::{DOCTOR_EXAMPLES, DoctorArgs, DoctorPart, GuardArgs, HealthcheckArgs},
    nats::{FetchArgs, NatsLoginArgs, NatsUrlArgs, NatsUsersArgs},
    nodes::NodeArgs,
    provider::ProviderArgs,
    scaling::{ScalingArgs, ScalingRoleArgs},
    sources::{SealArgs, SourcesArgs},
    swarm::{
        RemoveVolumesArgs, SwarmAdoptArgs, SwarmBackupArgs, SwarmCommand, SwarmDownArgs, SwarmPasswordArgs, SwarmUpArgs,
    },
    token::{TokenCommand, TokenCreateArgs, TokenFileArgs, TokenListArgs, TokenRevokeArgs, TokenRole},
    trace::{TraceArgs, TraceLinkArgs},
    worker::WorkerArgs,
};
use crate::{
    client::{
        args::{AUDIT_LOG_EXAMPLES, AuditArgs, AuditLogArgs, CallsCommand, DeadCommand, DescribeArgs},
        daily::args::DailyCommand,
        login::{ContextCommand, LOGIN_EXAMPLES, LoginArgs, LogoutArgs},
        sources::args::{SOURCES_EXAMPLES, SourcesCommand},
    },
    dev::args::FolderCommand,
    pages::{COMPLETION_EXAMPLES, CompletionArgs, ManArgs},
};

/// Functions as a Service for your own machines. HTTP calls, webhooks and NATS messages run any program, and no accepted call is lost.
#[derive(Debug, Parser)]
#[command(name = "skep", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine: NATS, controller, gateway, queue-worker, and the functions of a stack file
    Up(Box<UpArgs>),
    #[command(flatten)]
    Folder(FolderCommand),
    #[command(flatten)]
    Daily(DailyCommand),
    /// Log in to a gateway, so that commands need neither its address nor the password
    #[command(after_help = LOGIN_EXAMPLES)]
    Login(LoginArgs),
    /// Forget a login
    Logout(LogoutArgs),
    /// List the gateways that you have logged in to, and choose one
    #[command(subcommand)]
    Context(ContextCommand),
    /// Run only a gateway: the HTTP entry point
    Gateway(Box<GatewayRole>),
    /// Run only a queue-worker: runs accepted calls and delivers callbacks
    QueueWorker(Box<QueueWorkerRole>),
    /// Run only the controller: turns deployments into replicas, as processes of this machine or on a Swarm
    Controller(Box<ControllerRole>),
    /// Pass the pulls of this node's engine on to a gateway that keeps images; runs on each node of a Swarm
    ImageRelay(ImageRelayRole),
    /// Start or stop the platform as a stack of a Docker Swarm
    #[command(subcommand)]
    Swarm(SwarmCommand),
    /// Look at queued calls and cancel them
    #[command(subcommand)]
    Calls(CallsCommand),
    /// Look at dead letters (calls and callbacks that skep gave up on), redrive or remove them
    #[command(subcommand)]
    Dead(DeadCommand),
    /// Describe a function, and what happens to its queued calls when they fail
    Describe(DescribeArgs),
    /// Manage sources of events, such as webhooks and schedules, and their secrets
    #[command(subcommand, after_help = SOURCES_EXAMPLES)]
    Sources(SourcesCommand),
    /// Count all queued calls by their state, and name those that are missing
    Audit(AuditArgs),
    /// Show who changed what: deployments, secrets, tokens, cancelled calls, and refused requests
    #[command(after_help = AUDIT_LOG_EXAMPLES)]
    AuditLog(AuditLogArgs),
    /// Copy everything that skep stores to a file, while it runs
    #[command(after_help = BACKUP_EXAMPLES)]
    Backup(BackupArgs),
    /// Restore a backup into an empty installation
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore(RestoreArgs),
    /// Create, list and revoke tokens, which let others use /system
    #[command(subcommand)]
    Token(TokenCommand),
    /// Print the setting `users` for a NATS server: a user for each role, with the permissions that it needs
    NatsUsers(NatsUsersArgs),
    /// Check this machine, NATS and the Swarm, and say what is wrong and how to fix it
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Write a completion script for a shell to STDOUT
    #[command(after_help = COMPLETION_EXAMPLES)]
    Completions(CompletionArgs),
    /// Write the man pages of skep into a folder
    #[command(after_help = "Example:
  skep man ~/.local/share/man/man1")]
    Man(ManArgs),
    /// Ask the role in this container whether it is ready; exit code 0 if it is
    Healthcheck(HealthcheckArgs),
    /// Become another program that ends when its parent does
    #[command(name = "__guard", hide = true)]
    Guard(GuardArgs),
    /// Remove volumes from the engine of this node
    #[command(name = "__remove-volumes", hide = true)]
    RemoveVolumes(RemoveVolumesArgs),
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// The functions to deploy, in OpenFaaS's stack.yml format
    #[arg(short, long, env = "SKEP_FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Use this running NATS server instead of starting one
    #[arg(long, env = "SKEP_NATS_URL")]
    pub(crate) nats_url: Option<ServerUrls>,
    /// Where the NATS server that is started listens
    #[arg(long, env = "SKEP_NATS_LISTEN", default_value = "127.0.0.1:4222")]
    pub(crate) nats_listen: SocketAddr,
    /// The NATS server that is started takes MQTT at this address, such as 127.0.0.1:1883; by default it takes none. Devices log in as the user in nats-users/mqtt of the data folder. MQTT is not encrypted here, so others can read the password on the network unless the address is a loopback address
    #[arg(long, env = "SKEP_MQTT_LISTEN")]
    pub(crate) mqtt_listen: Option<SocketAddr>,
    /// The nats-server program to start, 2.12 or newer; by default the one on PATH, beside skep, or fetched before
    #[arg(long, env = "SKEP_NATS_SERVER")]
    pub(crate) nats_server: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) fetch: FetchArgs,
    /// Encrypt what the NATS server that is started stores, with the key in this file, which is made if it is missing. Existing data is encrypted too
    #[arg(long, env = "SKEP_NATS_ENCRYPTION_KEY_FILE", conflicts_with = "nats_url")]
    pub(crate) nats_encryption_key_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    #[command(flatten)]
    pub(crate) bus: BusArgs,
    #[command(flatten)]
    pub(crate) calls: CallArgs,
    #[command(flatten)]
    pub(crate) wake: WakeArgs,
    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
    #[command(flatten)]
    pub(crate) worker: WorkerArgs,
    #[command(flatten)]
    pub(crate) trace: TraceArgs,
    #[command(flatten)]
    pub(crate) provider: ProviderArgs,
    #[command(flatten)]
    pub(crate) scaling: ScalingArgs,
    #[command(flatten)]
    pub(crate) audit: PeriodicAuditArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GatewayRole {
    #[command(flatten)]
    pub(crate) nats: NatsUrlArgs,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    /// How long calls are still accepted after the program is asked to stop, so that callers can switch to another gateway; 0 for not at all
    #[arg(long, env = "SKEP_LINGER", default_value = "5s", value_parser = skep_protocol::parse_duration)]
    pub(crate) linger: Duration,
    #[command(flatten)]
    pub(crate) bus: BusArgs,
    #[command(flatten)]
    pub(crate) calls: CallArgs,
    #[command(flatten)]
    pub(crate) wake: WakeArgs,
    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
    #[command(flatten)]
    pub(crate) images: ImagesArgs,
    #[command(flatten)]
    pub(crate) trace: TraceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct QueueWorkerRole {
    #[command(flatten)]
    pub(crate) nats: NatsUrlArgs,
    /// Metrics and health listen here
    #[arg(long, env = "SKEP_ADMIN_LISTEN", default_value = "127.0.0.1:8083")]
    pub(crate) admin_listen: SocketAddr,
    #[command(flatten)]
    pub(crate) bus: BusArgs,
    #[command(flatten)]
    pub(crate) calls: CallArgs,
    #[command(flatten)]
    pub(crate) wake: WakeArgs,
    #[command(flatten)]
    pub(crate) worker: WorkerArgs,
    #[command(flatten)]
    pub(crate) seal: SealArgs,
    #[command(flatten)]
    pub(crate) trace: TraceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ControllerRole {
    #[command(flatten)]
    pub(crate) nats: NatsUrlArgs,
    /// Metrics and health listen here
    #[arg(long, env = "SKEP_ADMIN_LISTEN", default_value = "127.0.0.1:8084")]
    pub(crate) admin_listen: SocketAddr,
    #[command(flatten)]
    pub(crate) bus: BusArgs,
    #[command(flatten)]
    pub(crate) calls: CallArgs,
    /// What runs the functions
    #[arg(long = "provider", env = "SKEP_PROVIDER", default_value = "local")]
    pub(crate) provider_kind: ProviderKind,
    #[command(flatten)]
    pub(crate) provider: ProviderArgs,
    #[command(flatten)]
    pub(crate) swarm: SwarmArgs,
    #[command(flatten)]
    pub(crate) sources: SourcesArgs,
    #[command(flatten)]
    pub(crate) scaling: ScalingRoleArgs,
    #[command(flatten)]
    pub(crate) audit: PeriodicAuditArgs,
    #[command(flatten)]
    pub(crate) trace: TraceArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProviderKind {
    /// Functions are processes of this machine
    Local,
    /// Functions are services of a Docker Swarm
    Swarm,
}

#[derive(Debug, Args)]
pub(crate) struct SwarmArgs {
    /// The Docker engine of a Swarm manager, as unix:///… or tcp://host:port
    #[arg(long, env = "SKEP_DOCKER_HOST", default_value = "unix:///var/run/docker.sock")]
    pub(crate) docker_host: DockerHost,
    /// The overlay network of functions; by default the first with the label openfaas=true
    #[arg(long, env = "SKEP_FUNCTION_NETWORK")]
    pub(crate) function_network: Option<String>,
    /// How many processes and threads the container of a function may have
    #[arg(long, env = "SKEP_FUNCTION_PROCESSES", default_value_t = 1024, value_parser = clap::value_parser!(i64).range(16..))]
    pub(crate) function_processes: i64,
    /// Capabilities that a function may ask for with the annotation skep.capabilities, such as NET_RAW,NET_BIND_SERVICE
    #[arg(long, env = "SKEP_FUNCTION_CAPABILITIES", value_delimiter = ',')]
    pub(crate) function_capabilities: Vec<String>,
    #[command(flatten)]
    pub(crate) nodes: NodeArgs,
    #[command(flatten)]
    pub(crate) images: ImagesKeepArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct BusArgs {
    #[command(flatten)]
    pub(crate) login: NatsLoginArgs,
    /// The first word of every subject, stream and bucket; installations that share a server need different ones
    #[arg(long, env = "SKEP_SUBJECT_PREFIX", default_value = "skep", value_parser = subjects)]
    pub(crate) subject_prefix: Subjects,
    /// The namespace of functions that name none; the same for all roles
    #[arg(long, env = "SKEP_FUNCTION_NAMESPACE", default_value = "openfaas-fn", value_parser = default_namespace)]
    pub(crate) function_namespace: DefaultNamespace,
    /// How long the results of finished calls are kept (30s, 24h)
    #[arg(long, env = "SKEP_RESULT_TTL", default_value = "24h", value_parser = duration)]
    pub(crate) result_ttl: Duration,
    /// How many bytes of results are kept (512MiB, 10GiB); when there are more, the oldest go first
    #[arg(long, env = "SKEP_RESULT_BYTES", default_value = "4GiB", value_parser = parse_size)]
    pub(crate) result_bytes: u64,
    /// How long dead letters are kept
    #[arg(long, env = "SKEP_DEAD_TTL", default_value = "720h", value_parser = duration)]
    pub(crate) dead_ttl: Duration,
    /// How many bytes of dead letters are kept; when there are more, the oldest go first
    #[arg(long, env = "SKEP_DEAD_BYTES", default_value = "1GiB", value_parser = parse_size)]
    pub(crate) dead_bytes: u64,
    /// How many bytes of events are kept; when there are more, the oldest that were routed go first. The same for all roles
    #[arg(long, env = "SKEP_EVENT_BYTES", default_value = "4GiB", value_parser = parse_size)]
    pub(crate) event_bytes: u64,
    /// How long entries of the audit log, which says who changed what, are kept; 0 for no audit log. The same for all roles
    #[arg(long, env = "SKEP_AUDIT_LOG_TTL", default_value = "90d", value_parser = skep_protocol::parse_duration)]
    pub(crate) audit_log_ttl: Duration,
    /// How many bytes of the audit log are kept; when there are more, the oldest entries go first
    #[arg(long, env = "SKEP_AUDIT_LOG_BYTES", default_value = "64MiB", value_parser = parse_size)]
    pub(crate) audit_log_bytes: u64,
    /// How many versions of each function are kept, the current one included, from 2 to 64; the oldest go first. The same for all roles
    #[arg(long, env = "SKEP_VERSIONS_KEPT", default_value_t = 20, value_parser = clap::value_parser!(i64).range(2..=64))]
    pub(crate) versions_kept: i64,
    /// How many bytes of published work may wait for a queue-worker; beyond that, publishers get an error
    #[arg(long, env = "SKEP_PUBLISH_BYTES", value_parser = parse_size)]
    pub(crate) publish_bytes: Option<u64>,
    /// A body of an asynchronous call, or its result, that is larger than this is stored in pieces; by default, and at most, what fits into one NATS message
    #[arg(long, env = "SKEP_LARGE_BODY", value_parser = parse_size)]
    pub(crate) large_body: Option<u64>,
    /// How many bytes of such bodies are kept for calls that wait, run or are dead; beyond that, calls with large bodies are refused
    #[arg(long, env = "SKEP_BODY_BYTES", default_value = "10GiB", value_parser = parse_size)]
    pub(crate) body_bytes: u64,
    /// Do not store the headers Authorization and Cookie of asynchronous calls; their functions do not get them then. The same for all roles
    #[arg(long, env = "SKEP_STRIP_CREDENTIALS", num_args = 0..=1, default_missing_value = "true", default_value = "false", action = clap::ArgAction::Set)]
    pub(crate) strip_credentials: bool,
    /// Servers of a NATS cluster that store each message, 1 to 5; the same for all roles
    #[arg(long, env = "SKEP_NATS_REPLICAS", default_value_t = 1, value_parser = replicas)]
    pub(crate) nats_replicas: usize,
    /// The monitoring ports of all NATS servers (http://host:8222), separated by commas; there skep reads what an acknowledgement is worth
    #[arg(long, env = "SKEP_NATS_MONITOR", value_delimiter = ',')]
    pub(crate) nats_monitor: Vec<Url>,
    /// How long to wait for NATS at the start, before the program ends; 0 for as long as it takes
    #[arg(long, env = "SKEP_NATS_WAIT", default_value = "30s", value_parser = skep_protocol::parse_duration)]
    pub(crate) nats_wait: Duration,
    /// How long calls in flight may go on after the program is asked to stop
    #[arg(long, env = "SKEP_GRACE", default_value = "30s", value_parser = duration)]
    pub(crate) grace: Duration,
}
