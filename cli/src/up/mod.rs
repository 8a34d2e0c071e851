//! `skep up`: everything on one machine with one command.
//!
//! First all checks and sockets, so that nothing is half started; then NATS, the controller, the gateway and the queue-worker, the same as on a Swarm; then the functions of the stack file.

mod health;
mod login;
pub(crate) mod nats;
mod report;
pub(crate) mod surroundings;

use std::{path::Path, time::Duration};

use futures_util::StreamExt;
use skep_bus::{Bus, Monitors};
use skep_daemon::Drain;
use skep_dispatch::{Dispatch, Registry};
use skep_protocol::DefaultNamespace;
use skep_provider::{
    Controller,
    stack::{self, Outcome, Stack},
};
use skep_queue_worker::Allowance;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    args::{UpArgs, WorkerArgs},
    controller,
    failure::{Failure, Result, bad_setting},
    output,
    roles::{self, Process},
    sockets,
    up::{login::Login, nats::NatsServer, report::Doors, surroundings::DataDir},
};

/// How long the start waits for functions before it reports what runs.
const FUNCTIONS_WITHIN: Duration = Duration::from_secs(15);

pub(crate) async fn run(args: UpArgs) -> Result<()> {
    let stack = args.file.as_deref().map(|file| read_stack(file, &args.bus.function_namespace)).transpose()?;
    if args.nats_url.is_none() {
        nats::check_version(&args.nats_server)?;
    }
    surroundings::find_watchdog(args.provider.watchdog.as_deref())?;
    roles::tls(&args.gateway)?;
    roles::signing_keys(&args.worker)?;
    let listeners = Listeners {
        gateway: sockets::bind("--listen", args.listen.listen).await?,
        admin: sockets::bind("--admin-listen", args.listen.admin_listen).await?,
    };
    let data_dir = DataDir::open(&args.provider.data_dir)?;
    let login = Login::prepare(&args.gateway, &data_dir.path)?;
    let mut server = match &args.nats_url {
        Some(_) => None,
        None => Some(NatsServer::start(&args.nats_server, args.nats_listen, &data_dir.path).await?),
    };
    let (url, monitors) = match (&args.nats_url, &server) {
        (Some(url), _) => (url.clone(), Monitors::At(args.bus.nats_monitor.clone())),
        (None, Some(server)) => (format!("nats://{}", server.address), server.monitors.clone()),
        (None, None) => return Err(Failure::setting("there is no NATS server")),
    };
    let process = Process::new();
    if let Some(server) = &server {
        let watch = health::watch(monitors.clone(), server.child(), data_dir.path.clone());
        let ending = process.ending.clone();
        process.tasks.spawn(async move { ending.run_until_cancelled(watch).await });
    }
    let nats = Nats { url: &url, monitors };
    let ended = Box::pin(run_roles(&args, &process, stack, &data_dir, nats, login, listeners)).await;
    process.end().await;
    if let Some(server) = &mut server {
        server.stop();
    }
    ended
}

/// On one machine the receivers of callbacks are usually there too.
fn callback_allow(args: &UpArgs) -> Vec<Allowance> {
    args.worker.callback_allow.clone().unwrap_or_else(|| vec![Allowance::loopback()])
}

/// Reads the stack file and checks its functions, before anything is started.
fn read_stack(file: &Path, namespace: &DefaultNamespace) -> Result<Stack> {
    let environment = controller::environment();
    let stack = stack::read(file, namespace, |name| environment.get(name).cloned());
    let stack = stack.map_err(|error| bad_setting("--file", error))?;
    stack.check(&controller::inherited_environment(), namespace).map_err(|error| bad_setting("--file", error))?;
    Ok(stack)
}

/// The NATS server that is used, one's own or not.
struct Nats<'up> {
    url: &'up str,
    monitors: Monitors,
}

/// What was bound before anything was started.
struct Listeners {
    gateway: TcpListener,
    admin: TcpListener,
}

async fn run_roles(
    args: &UpArgs,
    process: &Process,
    stack: Option<Stack>,
    data_dir: &DataDir,
    nats: Nats<'_>,
    login: Option<Login>,
    listeners: Listeners,
) -> Result<()> {
    let Listeners { gateway: listener, admin } = listeners;
    let addresses = (sockets::local_address(&listener)?, sockets::local_address(&admin)?);
    let bus = roles::connect(process, "up", nats.url, &args.bus, nats.monitors).await;
    let bus = bus.map_err(|failure| match &args.nats_url {
        Some(_) => failure,
        None => bad_setting(
            "--nats-server",
            format!("it does not answer; see {}", nats::log_file(&data_dir.path).display()),
        ),
    })?;
    process.serve_admin(admin);
    let config = controller::local(&args.provider, data_dir, &args.calls, args.bus.grace, &process.files)?;
    // The controller goes on until the calls in flight have drained, for they need its replicas.
    let starting = Box::pin(Controller::start(config, bus.clone(), CancellationToken::new()));
    let controller = starting.await.map_err(Failure::internal)?;
    let controller = process.tasks.spawn(controller.run(process.ending.clone()));
    let dispatch = process.dispatch(&bus, &args.calls, &args.wake).await?;

    // There is no other gateway that callers could go to meanwhile.
    let drain = Drain { linger: Duration::ZERO, grace: args.bus.grace };
    let auth = login.as_ref().map(|login| login.auth.clone());
    let gateway = roles::run_gateway(process, &args.gateway, auth, drain, bus.clone(), dispatch.clone(), listener);
    let worker_args = WorkerArgs { callback_allow: Some(callback_allow(args)), ..args.worker.clone() };
    let worker = roles::run_worker(process, &worker_args, &args.bus, bus.clone(), dispatch.clone());
    let callbacks = match &args.worker.callback_allow {
        None => "public addresses and this machine (--callback-allow permits others)",
        Some(_) => "public addresses and what --callback-allow permits",
    };
    let scheme = if args.gateway.tls_cert.is_some() { "https" } else { "http" };
    let doors =
        Doors { gateway: format!("{scheme}://{}", addresses.0), admin: addresses.1, nats: nats.url, callbacks, login };
    let welcome = welcome(&bus, &dispatch, stack, &doors);
    tokio::select! {
        ended = async { tokio::try_join!(gateway, worker) } => ended.map(|_| ())?,
        ended = welcome => ended?,
        error = skep_daemon::shutdown_signal(process.shutdown.clone()) => return Err(Failure::internal(error)),
    }
    process.ending.cancel();
    let ended = controller.await.map_err(Failure::internal)?.map_err(Failure::internal);
    bus.close().await;
    ended
}

/// Deploys the stack, says what runs, and shows the functions' log for as long as everything runs.
async fn welcome(bus: &Bus, dispatch: &Dispatch, stack: Option<Stack>, doors: &Doors<'_>) -> Result<()> {
    let mut lines = std::pin::pin!(bus.follow_logs(None).await.map_err(Failure::internal)?);
    if let Some(stack) = stack {
        deploy(bus, &stack).await?;
    }
    let all_up = |registry: &Registry| registry.all().iter().all(|function| report::is_up(function));
    let mut waited = std::pin::pin!(dispatch.registry().wait_until(all_up, FUNCTIONS_WITHIN));
    let mut is_reported = false;
    loop {
        tokio::select! {
            all_up = &mut waited, if !is_reported => {
                is_reported = true;
                report::print(&dispatch.registry().all(), doors, all_up);
            }
            line = lines.next() => match line {
                Some(line) => output::line(format_args!("{} | {}", line.instance, line.text)),
                None => std::future::pending().await,
            },
        }
    }
}

/// Deploys what has changed; a function that the controller refuses ends the start.
async fn deploy(bus: &Bus, stack: &Stack) -> Result<()> {
    for applied in stack::apply(bus, stack).await.map_err(Failure::internal)? {
        match applied.outcome {
            Outcome::Deployed | Outcome::Updated | Outcome::Unchanged => {}
            Outcome::Refused(error) => {
                return Err(bad_setting("--file", error));
            }
        }
    }
    Ok(())
}
