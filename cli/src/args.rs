//! Every setting: a flag, a variable `SKEP_…`, a default, and a line that says what it is for.

mod audit;
mod calls;
mod gateway;
mod limits;
mod nats;
mod sources;
mod swarm;
mod token;
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
    calls::{CallArgs, WakeArgs},
    gateway::{GatewayArgs, ListenArgs},
    limits::LimitArgs,
    nats::{FetchArgs, NatsLoginArgs, NatsUrlArgs, NatsUsersArgs},
    sources::{SealArgs, SourcesArgs},
    swarm::{SwarmCommand, SwarmDownArgs, SwarmUpArgs},
    token::{TokenCommand, TokenCreateArgs, TokenFileArgs, TokenListArgs, TokenRevokeArgs, TokenRole},
    worker::WorkerArgs,
};
use crate::{
    client::{
        args::{AUDIT_LOG_EXAMPLES, AuditArgs, AuditLogArgs, CallsCommand, DeadCommand, DescribeArgs},
        daily::args::DailyCommand,
        login::{ContextCommand, LOGIN_EXAMPLES, LoginArgs, LogoutArgs},
        sources::args::{SOURCES_EXAMPLES, SourcesCommand},
    },
    pages::{COMPLETION_EXAMPLES, CompletionArgs, ManArgs},
};

/// Functions as a Service for your own machines: HTTP calls, webhooks and NATS messages in, any program runs, nothing accepted is lost.
#[derive(Debug, Parser)]
#[command(name = "skep", version, propagate_version = true)]
pub(crate) struct Cli {
    /// What to log, on STDERR: error, warn, info, debug, or per module (warn,skep_gateway=debug)
    #[arg(long, global = true, env = "SKEP_LOG", default_value = "warn,skep=info")]
    pub(crate) log: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine: NATS, controller, gateway, queue-worker, and the functions of a stack file
    Up(Box<UpArgs>),
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
    /// Start or stop the platform as a stack of a Docker Swarm
    #[command(subcommand)]
    Swarm(SwarmCommand),
    /// Look at queued calls and take them back
    #[command(subcommand)]
    Calls(CallsCommand),
    /// Look at calls and callbacks that were given up, send them on their way again, or remove them
    #[command(subcommand)]
    Dead(DeadCommand),
    /// Describe a function, and what is done with a queued call of it that does not go well
    Describe(DescribeArgs),
    /// Take events from webhooks: add, look at, pause and remove their sources, and keep their secrets
    #[command(subcommand, after_help = SOURCES_EXAMPLES)]
    Sources(SourcesCommand),
    /// Count all queued calls by what became of them, and name those that do not add up
    Audit(AuditArgs),
    /// Show who changed what: deployments, secrets, tokens, cancelled calls, and what was refused
    #[command(after_help = AUDIT_LOG_EXAMPLES)]
    AuditLog(AuditLogArgs),
    /// Create, list and revoke tokens: who else may use /system, and for what
    #[command(subcommand)]
    Token(TokenCommand),
    /// Print the users of a NATS server, one for each role with the permissions that it needs, for the server's settings
    NatsUsers(NatsUsersArgs),
    /// Look at this machine and its Swarm, and say what is wrong and how to mend it
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
    /// Where the NATS server that is started takes MQTT, such as 127.0.0.1:1883; without it, nowhere. Devices log in as the user in nats-users/mqtt of the data folder. MQTT is not encrypted here, so on other addresses than this machine's own its password can be overheard
    #[arg(long, env = "SKEP_MQTT_LISTEN")]
    pub(crate) mqtt_listen: Option<SocketAddr>,
    /// The nats-server program to start, 2.12 or newer; by default the one on PATH, beside skep, or fetched before
    #[arg(long, env = "SKEP_NATS_SERVER")]
    pub(crate) nats_server: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) fetch: FetchArgs,
    /// Encrypt what the NATS server that is started stores, with the key in this file; it is made if it is not there. Whatever was stored before is encrypted, too
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
    pub(crate) provider: ProviderArgs,
    #[command(flatten)]
    pub(crate) audit: PeriodicAuditArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GatewayRole {
    #[command(flatten)]
    pub(crate) nats: NatsUrlArgs,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    /// How long calls are still taken after the program was told to stop, so that callers can go to another gateway; 0 for not at all
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
    pub(crate) audit: PeriodicAuditArgs,
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
    /// Capabilities that a function may ask for with the annotation skep.capabilities, as NET_RAW,NET_BIND_SERVICE
    #[arg(long, env = "SKEP_FUNCTION_CAPABILITIES", value_delimiter = ',')]
    pub(crate) function_capabilities: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct BusArgs {
    #[command(flatten)]
    pub(crate) login: NatsLoginArgs,
    /// The first word of every subject, stream and bucket; several skeps may share a server with different ones
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
    /// How many bytes of events are kept; when there are more, the oldest go first, but none that is not routed yet. The same for all roles
    #[arg(long, env = "SKEP_EVENT_BYTES", default_value = "4GiB", value_parser = parse_size)]
    pub(crate) event_bytes: u64,
    /// How long the audit log is kept, which says who changed what; 0 for no audit log. The same for all roles
    #[arg(long, env = "SKEP_AUDIT_LOG_TTL", default_value = "90d", value_parser = skep_protocol::parse_duration)]
    pub(crate) audit_log_ttl: Duration,
    /// How many bytes of the audit log are kept; when there are more, the oldest entries go first
    #[arg(long, env = "SKEP_AUDIT_LOG_BYTES", default_value = "64MiB", value_parser = parse_size)]
    pub(crate) audit_log_bytes: u64,
    /// How many bytes of published work may wait to be taken up; beyond, publishers get an error
    #[arg(long, env = "SKEP_PUBLISH_BYTES", value_parser = parse_size)]
    pub(crate) publish_bytes: Option<u64>,
    /// A body of an asynchronous call, or its result, that is larger than this is stored in pieces; by default, and at most, what fits into one NATS message
    #[arg(long, env = "SKEP_LARGE_BODY", value_parser = parse_size)]
    pub(crate) large_body: Option<u64>,
    /// How many bytes of such bodies are kept for calls that wait, run or are dead; beyond, a call with one is refused
    #[arg(long, env = "SKEP_BODY_BYTES", default_value = "10GiB", value_parser = parse_size)]
    pub(crate) body_bytes: u64,
    /// Do not store the headers Authorization and Cookie of asynchronous calls; their functions do not get them then. The same for all roles
    #[arg(long, env = "SKEP_STRIP_CREDENTIALS", num_args = 0..=1, default_missing_value = "true", default_value = "false", action = clap::ArgAction::Set)]
    pub(crate) strip_credentials: bool,
    /// Servers of a NATS cluster that store each message, 1 to 5; the same for all roles
    #[arg(long, env = "SKEP_NATS_REPLICAS", default_value_t = 1, value_parser = replicas)]
    pub(crate) nats_replicas: usize,
    /// The monitoring ports of all NATS servers (http://host:8222), separated by commas: there it is read what an acknowledgement is worth
    #[arg(long, env = "SKEP_NATS_MONITOR", value_delimiter = ',')]
    pub(crate) nats_monitor: Vec<Url>,
    /// How long to wait for NATS at the start, before the program ends; 0 for as long as it takes
    #[arg(long, env = "SKEP_NATS_WAIT", default_value = "30s", value_parser = skep_protocol::parse_duration)]
    pub(crate) nats_wait: Duration,
    /// How long calls in flight may go on after the program was told to stop
    #[arg(long, env = "SKEP_GRACE", default_value = "30s", value_parser = duration)]
    pub(crate) grace: Duration,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ProviderArgs {
    /// Where functions keep their files, secrets, and NATS its data
    #[arg(long, env = "SKEP_DATA_DIR", default_value = ".skep")]
    pub(crate) data_dir: PathBuf,
    /// The fwatchdog program; by default the one beside skep, or skep itself
    #[arg(long, env = "SKEP_WATCHDOG")]
    pub(crate) watchdog: Option<PathBuf>,
    /// Run functions as root when skep itself is root: each of them can then do anything on this machine
    #[arg(long, env = "SKEP_ALLOW_ROOT", num_args = 0..=1, default_missing_value = "true", default_value = "false")]
    pub(crate) allow_root: bool,
    /// Keep functions in a sandbox: on or off; the annotation skep.sandbox=off lifts it for one function
    #[arg(long, env = "SKEP_SANDBOX", default_value = "on", action = clap::ArgAction::Set, value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) sandbox: bool,
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
}

#[derive(Debug, Args)]
pub(crate) struct HealthcheckArgs {
    /// Where the role's metrics and health listen; 0.0.0.0 is asked at 127.0.0.1
    #[arg(long, env = "SKEP_ADMIN_LISTEN", default_value = "127.0.0.1:8082")]
    pub(crate) admin_listen: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct GuardArgs {
    pub(crate) parent: u32,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub(crate) program: Vec<std::ffi::OsString>,
}
