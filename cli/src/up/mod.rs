//! `skep up`: everything on one machine with one command.
//!
//! First all checks and sockets, so that nothing is half started; then NATS, the controller, the gateway and the queue-worker, the same as on a Swarm; then the functions and sources of the stack file.

mod encryption;
mod health;
mod login;
pub(crate) mod mqtt;
mod nats;
mod report;
mod sources;
mod stack;
pub(crate) mod surroundings;
mod users;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use futures_util::StreamExt;
use serde_json::Value;
use skep_bus::{Bus, Role};
use skep_controller::{Controller, ScheduleMetrics};
use skep_dispatch::{Dispatch, Registry};
use skep_gateway::Listeners;
use skep_http::Drain;
use skep_protocol::PolicyDefaults;
use skep_queue_worker::CallbackRules;
use skep_sources::Source;
use skep_stack::Stack;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    args::UpArgs,
    auth,
    callbacks::{self, Loopback},
    controller,
    failure::{Failure, Result, bad_setting},
    nats::Nats,
    nats_program, output,
    roles::{self, Process},
    seal, sockets,
    up::{encryption::Encryption, login::Login, nats::NatsServer, report::EntryPoints, surroundings::DataDir},
};

/// How long the start waits for functions before it reports what runs.
const FUNCTIONS_TIMEOUT: Duration = Duration::from_secs(15);

pub(crate) async fn run(mut args: UpArgs) -> Result<()> {
    let (namespace, public_url) = (&args.bus.function_namespace, args.gateway.sources.public_url.as_ref());
    let stack = args.file.as_deref().map(|file| stack::read(file, namespace, public_url)).transpose()?;
    surroundings::require_no_root(&args.provider)?;
    surroundings::find_watchdog(args.provider.watchdog.as_deref())?;
    let program = program(&args).await?;
    auth::tls(&args.gateway)?;
    roles::signing_keys(&args.worker)?;
    let encryption = args.nats_encryption_key_file.as_deref().map(Encryption::read).transpose()?;
    let listeners = sockets::listeners(&args.listen, login::is_wanted(&args.gateway)).await?;
    let admin = sockets::bind("--admin-listen", args.listen.admin_listen).await?;
    let data_dir = DataDir::open(&args.provider.data_dir)?;
    args.gateway.sources = seal::prepare(&args.gateway.sources, &data_dir.path)?;
    let admin_api = sockets::local_address(listeners.admin_api.as_ref().unwrap_or(&listeners.public))?;
    let login = Login::prepare(&args.gateway, &data_dir.path, admin_api)?;
    let (mut server, nats) = match &args.nats_url {
        Some(servers) => (None, Nats::given(servers, &args.bus)?),
        None => {
            let listen = (args.nats_listen, args.mqtt_listen);
            let (data_dir, subjects) = (&data_dir.path, &args.bus.subject_prefix);
            let callback_subjects = &args.worker.callback_subjects;
            let starting = NatsServer::start(&program, listen, data_dir, subjects, callback_subjects, encryption);
            let server = starting.await?;
            let nats = server.nats();
            (Some(server), nats)
        }
    };
    let process = Process::new();
    if let Some(server) = &server {
        let watch = health::watch(server.system.clone(), server.child(), data_dir.path.clone());
        let ending = process.ending.clone();
        process.tasks.spawn(async move { ending.run_until_cancelled(watch).await });
    }
    let publisher = server.as_ref().map(|server| server.users.publisher.file.as_path());
    let device = server.as_ref().and_then(|server| Some((server.mqtt?, server.users.device.as_ref()?.file.as_path())));
    let nats_told = report::nats(&nats.servers, publisher, device);
    let sockets = Sockets { gateway: listeners, admin, nats, nats_told };
    let ended = Box::pin(run_roles(&args, &process, stack, &data_dir, login, sockets)).await;
    process.end().await;
    if let Some(server) = &mut server {
        server.stop();
    }
    ended
}

/// The nats-server program; none is needed with a server that runs already.
async fn program(args: &UpArgs) -> Result<PathBuf> {
    Ok(match (&args.nats_url, args.bus.login.given()) {
        (Some(_), _) if args.mqtt_listen.is_some() => {
            let reason = "is for the server that skep starts; turn MQTT on in the settings of the one in --nats-url";
            return Err(bad_setting("--mqtt-listen", reason));
        }
        (Some(_), _) => PathBuf::new(),
        (None, None) => nats_program::find_or_fetch(args.nats_server.as_deref(), &args.fetch).await?,
        (None, Some(flag)) => {
            return Err(bad_setting(flag, "needs --nats-url; a server that skep starts has its own users"));
        }
    })
}

/// Where callbacks may go, and the line about it in the start report.
fn callback_rules(
    args: &UpArgs,
    has_password: bool,
    listeners: Vec<SocketAddr>,
    nats: Vec<SocketAddr>,
) -> Result<(CallbackRules, &'static str)> {
    let own = [listeners, nats].concat();
    if let Some(allow) = args.worker.callback_allow.clone() {
        let rules = CallbackRules { allow, local: Vec::new(), own };
        return Ok((rules, "public addresses and what --callback-allow permits"));
    }
    let loopback = Loopback::of(&own, args.nats_url.is_none(), has_password);
    Ok((loopback.rules(own), loopback.told()))
}

/// What everything is reached by: the listeners, and the NATS server, one's own or not.
struct Sockets {
    gateway: Listeners,
    admin: TcpListener,
    nats: Nats,
    nats_told: String,
}

fn schedule_metrics(process: &Process) -> Result<Option<ScheduleMetrics>> {
    ScheduleMetrics::register(&process.metrics).map(Some).map_err(Failure::internal)
}

async fn run_roles(
    args: &UpArgs,
    process: &Process,
    stack: Option<Stack>,
    data_dir: &DataDir,
    login: Option<Login>,
    sockets: Sockets,
) -> Result<()> {
    let gateway_address = sockets::local_address(&sockets.gateway.public)?;
    let admin_api_address = sockets.gateway.admin_api.as_ref().map(sockets::local_address).transpose()?;
    let admin_address = sockets::local_address(&sockets.admin)?;
    let buses = Box::pin(Buses::connect(args, process, data_dir, &sockets.nats)).await?;
    process.serve_admin(sockets.admin);
    let config =
        controller::local(&args.provider, data_dir, &args.calls, args.bus.grace, &process.files, &process.metrics)?;
    let sources = &args.gateway.sources;
    let (seal_key, public_url) = (seal::read(&sources.seal)?, sources.public_url.clone());
    let (audit, schedules) = (args.audit.periodic(&process.metrics)?, schedule_metrics(process)?);
    let config = skep_controller::Config { seal_key: seal_key.clone(), public_url, audit, schedules, ..config };
    // The controller goes on until the calls in flight have drained, because they need its replicas.
    let starting = Box::pin(Controller::start(config, buses.controller.for_controller(), CancellationToken::new()));
    let controller = starting.await.map_err(Failure::internal)?;
    let controller = process.tasks.spawn(controller.run(process.ending.clone()));
    let defaults = PolicyDefaults {
        timeout: args.calls.upstream_timeout,
        pages: args.gateway.function_pages,
        retry: roles::retry_policy(&args.worker)?,
    };
    let dispatch = process.dispatch(&buses.gateway, defaults, &args.wake).await?;

    // There is no other gateway that callers could go to meanwhile.
    let drain = Drain { linger: Duration::ZERO, grace: args.bus.grace };
    let auth = login.as_ref().map(|login| login.auth.clone());
    let bus = buses.gateway.clone();
    let gateway = roles::run_gateway(process, &args.gateway, auth, drain, bus, dispatch.clone(), sockets.gateway);
    let listeners = [Some(gateway_address), admin_api_address, Some(admin_address)].into_iter().flatten().collect();
    let nats_addresses = callbacks::addresses_of(&sockets.nats).await;
    let (rules, callbacks) = callback_rules(args, login.is_some(), listeners, nats_addresses)?;
    let bus = buses.worker.clone();
    let worker = roles::run_worker(process, &args.worker, rules, &args.bus, bus, dispatch.clone(), seal_key);
    let scheme = if args.gateway.tls_cert.is_some() { "https" } else { "http" };
    let entry_points = EntryPoints {
        gateway: format!("{scheme}://{gateway_address}"),
        admin_api: admin_api_address.map(|address| format!("{scheme}://{address}")),
        admin: admin_address,
        nats: &sockets.nats_told,
        callbacks,
        login,
    };
    let welcome = welcome(&buses.gateway, &dispatch, stack, &entry_points);
    tokio::select! {
        ended = async { tokio::try_join!(gateway, worker) } => ended.map(|_| ())?,
        ended = welcome => ended?,
        error = crate::signals::shutdown_signal(process.shutdown.clone()) => return Err(Failure::internal(error)),
    }
    process.ending.cancel();
    let ended = controller.await.map_err(Failure::internal)?.map_err(Failure::internal);
    tokio::join!(buses.controller.close(), buses.gateway.close(), buses.worker.close());
    ended
}

/// Each role connects as itself, as it does in a process of its own.
struct Buses {
    controller: Bus,
    gateway: Bus,
    worker: Bus,
}

impl Buses {
    async fn connect(args: &UpArgs, process: &Process, data_dir: &DataDir, nats: &Nats) -> Result<Self> {
        // First the one that makes and changes the streams.
        let controller = roles::connect(process, Role::Controller, nats, &args.bus, true).await;
        let controller = controller.map_err(|failure| match &args.nats_url {
            Some(_) => failure,
            None => {
                let log_file = nats::log_file(&data_dir.path);
                bad_setting("--nats-server", format!("it does not answer; see {}", log_file.display()))
            }
        })?;
        let (gateway, worker) = tokio::try_join!(
            roles::connect(process, Role::Gateway, nats, &args.bus, false),
            roles::connect(process, Role::QueueWorker, nats, &args.bus, false),
        )?;
        Ok(Self { controller, gateway, worker })
    }
}

/// Deploys the stack, says what runs, and shows the functions' log for as long as everything runs.
async fn welcome(bus: &Bus, dispatch: &Dispatch, stack: Option<Stack>, entry_points: &EntryPoints<'_>) -> Result<()> {
    let mut lines = std::pin::pin!(bus.logs.follow(None).await.map_err(Failure::internal)?);
    let is_webhook = |spec: &Value| Source::from_spec(spec).is_ok_and(|source| source.kind.is_webhook());
    let sources = stack.iter().flat_map(|stack| &stack.sources).filter(|(_, spec)| is_webhook(spec));
    let sources: Vec<_> = sources.map(|(name, _)| name.clone()).collect();
    if let Some(stack) = stack {
        stack::apply(bus, &stack).await?;
    }
    let all_up = |registry: &Registry| registry.every(report::is_up);
    let mut waited = std::pin::pin!(dispatch.registry().wait_until(all_up, FUNCTIONS_TIMEOUT));
    let mut is_reported = false;
    loop {
        tokio::select! {
            all_up = &mut waited, if !is_reported => {
                is_reported = true;
                report::print(&dispatch.registry().all(), &sources, entry_points, all_up);
            }
            line = lines.next() => match line {
                // A function, or its callers, must not speak to the terminal.
                Some(line) => output::line(output::harmless(&format!("{} | {}", line.instance, line.text))),
                None => std::future::pending().await,
            },
        }
    }
}
