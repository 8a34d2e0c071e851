//! `skep up`: everything on one machine with one command.
//!
//! First all checks and sockets, so that nothing is half started; then NATS, the controller, the gateway and the queue-worker, the same as on a Swarm; then the functions and sources of the stack file.

mod buses;
pub(crate) mod encryption;
mod health;
mod login;
pub(crate) mod mqtt;
pub(crate) mod nats;
mod needs;
mod report;
mod sources;
mod stack;
pub(crate) mod surroundings;
pub(crate) mod users;

use std::{net::SocketAddr, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use anyhow::anyhow;
use futures_util::{StreamExt, future::OptionFuture};
use skep_bus::{Bus, patiently};
use skep_controller::{Config as ControllerConfig, Controller, ScheduleMetrics};
use skep_dispatch::{Dispatch, Registry};
use skep_gateway::Listeners;
use skep_http::Drain;
use skep_protocol::{DefaultNamespace, PolicyDefaults};
use skep_queue_worker::CallbackRules;
use skep_sources::{Defaults, Receiver, SealKey};
use skep_stack::Stack;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

pub(crate) use self::stack::apply as deploy_stack;
use crate::{
    args::UpArgs,
    auth,
    callbacks::{self, Loopback},
    controller,
    dev::Follower,
    failure::{Failure, Result, bad_setting},
    nats::Nats,
    nats_program, output,
    roles::{self, Process},
    seal, sockets, traces,
    up::{
        buses::Buses,
        encryption::Encryption,
        login::Login,
        nats::{NatsServer, RunningChild},
        report::EntryPoints,
        surroundings::DataDir,
    },
};

/// How long the start waits for functions before it reports what runs.
const FUNCTIONS_TIMEOUT: Duration = Duration::from_secs(15);

pub(crate) async fn run(args: UpArgs) -> Result<()> {
    run_with(args, None).await
}

/// The stack file, checked for this machine; an empty stack without a file.
pub(crate) fn read_stack(args: &UpArgs) -> Result<Stack> {
    let (namespace, public_url) = (&args.bus.function_namespace, args.gateway.sources.public_url.as_ref());
    let stack = args.file.as_deref().map(|file| stack::read(file, namespace, public_url)).transpose()?;
    Ok(stack.unwrap_or_default())
}

/// The same as `run`, and the files of the functions are followed.
pub(crate) async fn run_with(mut args: UpArgs, follower: Option<Follower>) -> Result<()> {
    let stack = read_stack(&args)?;
    surroundings::require_no_root(&args.provider)?;
    surroundings::find_watchdog(args.provider.watchdog.as_deref())?;
    let program = program(&args).await?;
    auth::tls(&args.gateway)?;
    roles::signing_keys(&args.worker)?;
    let encryption = args.nats_encryption_key_file.as_deref().map(Encryption::read).transpose()?;
    let listeners = sockets::listeners(&args.listen, login::is_wanted(&args.gateway))?;
    let admin = sockets::bind("--admin-listen", args.listen.admin_listen)?;
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
            let starting = NatsServer::start(&program, listen, data_dir, subjects, callback_subjects, encryption, true);
            let server = starting.await?;
            let nats = server.nats();
            (Some(server), nats)
        }
    };
    let process = Process::new(&args.trace, "skep", &args.bus)?;
    if let Some(server) = &server {
        let watch = health::watch(server.system.clone(), server.child(), data_dir.path.clone());
        let ending = process.ending.clone();
        process.tasks.spawn(async move { ending.run_until_cancelled(watch).await });
    }
    let publisher = server.as_ref().map(|server| server.users.publisher.file.as_path());
    let device = server.as_ref().and_then(|server| Some((server.mqtt?, server.users.device.as_ref()?.file.as_path())));
    let nats_report = report::nats(&nats.servers, publisher, device);
    let nats_child = server.as_ref().map(NatsServer::child);
    let sockets = Sockets { gateway: listeners, admin, nats, nats_child, nats_report };
    let ended = Box::pin(run_roles(&args, &process, (stack, follower), &data_dir, login, sockets)).await;
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
    Ok((loopback.rules(own), loopback.describe()))
}

/// What everything is reached by: the listeners, and the NATS server, one's own or not.
struct Sockets {
    gateway: Listeners,
    admin: TcpListener,
    nats: Nats,
    /// The process of a server of skep's own.
    nats_child: Option<RunningChild>,
    nats_report: String,
}

fn schedule_metrics(process: &Process) -> Result<Option<ScheduleMetrics>> {
    ScheduleMetrics::register(&process.metrics).map(Some).map_err(Failure::internal)
}

fn controller_config(
    args: &UpArgs,
    process: &Process,
    data_dir: &DataDir,
    seal_key: Option<Arc<SealKey>>,
) -> Result<ControllerConfig> {
    let collector = traces::functions_endpoint(&args.trace, &args.provider)?;
    let (calls, grace, files, metrics) = (&args.calls, args.bus.grace, &process.files, &process.metrics);
    let config = controller::local(&args.provider, data_dir, calls, grace, files, metrics, collector)?;
    let public_url = args.gateway.sources.public_url.clone();
    let (audit, schedules) = (args.audit.periodic(&process.metrics)?, schedule_metrics(process)?);
    Ok(ControllerConfig { seal_key, public_url, audit, schedules, ..args.scaling.apply(args.wake.from_zero, config) })
}

async fn run_roles(
    args: &UpArgs,
    process: &Process,
    wanted: (Stack, Option<Follower>),
    data_dir: &DataDir,
    login: Option<Login>,
    sockets: Sockets,
) -> Result<()> {
    let gateway_address = sockets::local_address(&sockets.gateway.public)?;
    let admin_api_address = sockets.gateway.admin_api.as_ref().map(sockets::local_address).transpose()?;
    let admin_address = sockets::local_address(&sockets.admin)?;
    let buses = Box::pin(Buses::connect(args, process, data_dir, &sockets)).await?;
    process.serve_admin(sockets.admin);
    let seal_key = seal::read(&args.gateway.sources.seal)?;
    let config = controller_config(args, process, data_dir, seal_key.clone())?;
    // The controller goes on until the calls in flight have drained, because they need its replicas.
    let starting = Box::pin(Controller::start(config, buses.controller.for_controller(), CancellationToken::new()));
    let controller = starting.await.map_err(Failure::internal)?;
    let mut controller = process.tasks.spawn(controller.run(process.ending.clone()));
    let defaults = PolicyDefaults {
        timeout: args.calls.upstream_timeout,
        pages: args.gateway.function_pages,
        retry: roles::retry_policy(&args.worker)?,
    };
    let dispatch = process.dispatch("all", &buses.gateway, defaults, &args.wake).await?;

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
        nats: &sockets.nats_report,
        callbacks,
        login,
    };
    let welcome = welcome(args, &buses.gateway, &dispatch, wanted, &entry_points);
    tokio::select! {
        ended = async { tokio::try_join!(gateway, worker) } => ended.map(|_| ())?,
        ended = welcome => ended?,
        ended = &mut controller => {
            ended.map_err(Failure::internal)?.map_err(Failure::internal)?;
            return Err(Failure::internal(anyhow!("the controller has ended")));
        }
        error = crate::signals::shutdown_signal(process.shutdown.clone()) => return Err(Failure::internal(error)),
    }
    process.ending.cancel();
    let ended = controller.await.map_err(Failure::internal)?.map_err(Failure::internal);
    tokio::join!(buses.controller.close(), buses.gateway.close(), buses.worker.close());
    ended
}

fn webhooks(stack: &Stack, namespace: &DefaultNamespace, public_url: Option<&Url>) -> Vec<report::Webhook> {
    let defaults = Defaults { public_url, ..Defaults::new(namespace) };
    let receivers =
        stack.sources.iter().filter_map(|(name, spec)| Receiver::from_spec(name.clone(), spec, &defaults).ok());
    let webhooks = receivers.filter(|receiver| receiver.kind().is_webhook());
    webhooks.map(|webhook| (webhook.name().clone(), webhook.url().map(str::to_owned))).collect()
}

/// Deploys the stack, says what runs, and shows the functions' log for as long as everything runs.
async fn welcome(
    args: &UpArgs,
    bus: &Bus,
    dispatch: &Dispatch,
    (stack, follower): (Stack, Option<Follower>),
    entry_points: &EntryPoints<'_>,
) -> Result<()> {
    let mut lines = pin!(bus.logs.follow(None).await.map_err(Failure::internal)?);
    let sources = webhooks(&stack, &args.bus.function_namespace, args.gateway.sources.public_url.as_ref());
    patiently("stack file", Failure::may_pass, || deploy_stack(bus, &stack)).await?;
    let all_up = |registry: &Registry| registry.every(report::is_up);
    let mut waited = pin!(dispatch.registry().wait_until(all_up, FUNCTIONS_TIMEOUT));
    let mut is_reported = false;
    let followed = OptionFuture::from(follower.map(|follower| follower.follow(args, bus, dispatch)));
    let mut followed = pin!(followed);
    loop {
        tokio::select! {
            all_up = &mut waited, if !is_reported => {
                is_reported = true;
                report::print(&dispatch.registry().all(), &sources, entry_points, all_up);
            }
            Some(ended) = &mut followed, if is_reported => return ended,
            line = lines.next() => match line {
                // A function, or its callers, must not speak to the terminal.
                Some(line) => output::line(output::harmless(&format!("{} | {}", line.instance, line.text))),
                None => std::future::pending().await,
            },
        }
    }
}
