//! The roles, each alone in a process: what a Swarm runs. `skep up` starts the same ones together.

use std::{sync::Arc, time::Duration};

use prometheus::Registry;
use skep_bus::{Bus, Role};
use skep_controller::{Config as ControllerConfig, Controller, ScheduleMetrics};
use skep_dispatch::{Dispatch, DispatchConfig};
use skep_gateway::{AuthConfig, GatewayConfig, Listeners};
use skep_http::{Drain, HttpLimits, Readiness, Runtimes, ServeConfig};
use skep_https::SigningKeys;
use skep_protocol::{Part, PolicyDefaults, RetryPolicy};
use skep_queue_worker::{CallbackRules, WorkerConfig};
use skep_sources::SealKey;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_http::add_extension::AddExtension;

use crate::{
    args::{
        BusArgs, ControllerRole, GatewayArgs, GatewayRole, ProviderKind, QueueWorkerRole, TraceArgs, WakeArgs,
        WorkerArgs,
    },
    auth, callbacks,
    connection::connect,
    controller,
    failure::{Failure, Result, bad_setting},
    files::FileLimit,
    metrics,
    nats::Nats,
    seal, sockets,
    traces::{self, Traces},
    up::surroundings::{self, DataDir},
};

/// What every process has besides its roles: metrics, health, signals, files.
pub(crate) struct Process {
    pub(crate) files: FileLimit,
    pub(crate) metrics: Registry,
    pub(crate) traces: Traces,
    pub(crate) readiness: Readiness,
    /// Cancelled when the process is asked to stop.
    pub(crate) shutdown: CancellationToken,
    /// Cancelled when the roles have drained and the rest may go too.
    pub(crate) ending: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Process {
    /// A process whose service is called this in traces.
    pub(crate) fn new(args: &TraceArgs, role: &str, bus: &BusArgs) -> Result<Self> {
        let (metrics, ending, tasks) = (metrics::registry()?, CancellationToken::new(), TaskTracker::new());
        let traces = Traces::start(args, role, bus, &metrics)?;
        tasks.spawn(traces.show_started(ending.clone()));
        let (readiness, shutdown) = (Readiness::default(), CancellationToken::new());
        Ok(Self { traces, files: FileLimit::raise(), metrics, readiness, shutdown, ending, tasks })
    }

    /// Serves metrics and health until the process ends.
    pub(crate) fn serve_admin(&self, listener: TcpListener) {
        let router = skep_http::admin_router(self.metrics.clone(), self.readiness.clone());
        let ending = self.ending.clone();
        let drain = Drain { linger: Duration::ZERO, grace: Duration::from_secs(1) };
        self.tasks.spawn(async move {
            skep_http::serve(
                listener,
                move |peer| AddExtension::new(router.clone(), peer),
                ServeConfig { limits: HttpLimits::default(), proxies: Vec::new(), tls: None, drain, readiness: None },
                &Runtimes::new(0),
                ending,
            )
            .await;
        });
    }

    /// Runs a role until it ends by itself or after a signal, then ends the process in order.
    pub(crate) async fn run_role(&self, role: impl Future<Output = Result<()>>) -> Result<()> {
        let ended = tokio::select! {
            ended = role => ended,
            error = crate::signals::shutdown_signal(self.shutdown.clone()) => Err(Failure::internal(error)),
        };
        self.end().await;
        ended
    }

    /// Runs a role and says that it is ready, until it ends or begins to drain.
    pub(crate) async fn while_ready<T>(&self, name: &'static str, role: impl Future<Output = T>) -> T {
        let readiness = self.readiness.role(name);
        readiness.ready();
        let mut role = std::pin::pin!(role);
        tokio::select! {
            ended = &mut role => return ended,
            () = self.shutdown.cancelled() => readiness.not_ready(),
        }
        role.await
    }

    /// Ends what was spawned beside the roles.
    pub(crate) async fn end(&self) {
        self.shutdown.cancel();
        self.ending.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.traces.end().await;
    }

    /// `role` is what the controller calls this process.
    pub(crate) async fn dispatch(
        &self,
        role: &str,
        bus: &Bus,
        defaults: PolicyDefaults,
        wake: &WakeArgs,
    ) -> Result<Dispatch> {
        let config = DispatchConfig {
            part: Part::of_this_build(role),
            defaults,
            wake_timeout: wake.wake_timeout,
            held_calls: wake.held_calls,
            scale_from_zero: wake.from_zero.scale_from_zero,
        };
        let dispatch = Dispatch::start(bus.for_dispatch(), &config, &self.metrics, &self.tasks, self.ending.clone());
        Ok(dispatch.await?)
    }
}

pub(crate) async fn gateway(args: GatewayRole) -> Result<()> {
    let nats = Nats::given(&args.nats.nats_url, &args.bus)?;
    let process = Process::new(&args.trace, "skep-gateway", &args.bus)?;
    let auth = auth::read(&args.gateway)?;
    let seal_key = seal::read(&args.gateway.sources.seal)?;
    let admin = sockets::bind("--admin-listen", args.listen.admin_listen)?;
    let images = sockets::images(&args.images, seal_key.as_deref())?;
    let listeners = Listeners { images, ..sockets::listeners(&args.listen, auth.is_some())? };
    process.serve_admin(admin);
    let role = Box::pin(async {
        let Some(bus) = connect_to(&process, Role::Gateway, &nats, &args.bus).await? else { return Ok(()) };
        let timeout = args.calls.upstream_timeout;
        let defaults = PolicyDefaults { timeout, pages: args.gateway.function_pages, ..Default::default() };
        let dispatch = process.dispatch("gateway", &bus, defaults, &args.wake).await?;
        let drain = Drain { linger: args.linger, grace: args.bus.grace };
        run_gateway(&process, &args.gateway, auth, drain, bus, dispatch, listeners).await
    });
    process.run_role(role).await
}

pub(crate) async fn queue_worker(args: QueueWorkerRole) -> Result<()> {
    let seal_key = seal::read(&args.seal)?;
    let nats = Nats::given(&args.nats.nats_url, &args.bus)?;
    let timeout = args.calls.upstream_timeout;
    let defaults = PolicyDefaults { timeout, retry: retry_policy(&args.worker)?, ..Default::default() };
    let process = Process::new(&args.trace, "skep-queue-worker", &args.bus)?;
    let admin = sockets::bind("--admin-listen", args.admin_listen)?;
    let admin_address = sockets::local_address(&admin)?;
    process.serve_admin(admin);
    let role = Box::pin(async {
        let Some(bus) = connect_to(&process, Role::QueueWorker, &nats, &args.bus).await? else { return Ok(()) };
        let own = [vec![admin_address], callbacks::addresses_of(&nats).await].concat();
        let allow = args.worker.callback_allow.clone().unwrap_or_default();
        let rules = CallbackRules { allow, local: Vec::new(), own };
        let dispatch = process.dispatch("queue-worker", &bus, defaults, &args.wake).await?;
        run_worker(&process, &args.worker, rules, &args.bus, bus, dispatch, seal_key).await
    });
    process.run_role(role).await
}

pub(crate) async fn controller(args: ControllerRole) -> Result<()> {
    let nats = Nats::given(&args.nats.nats_url, &args.bus)?;
    let data_dir = match args.provider_kind {
        ProviderKind::Local => {
            surroundings::require_no_root(&args.provider)?;
            Some(DataDir::open(&args.provider.data_dir)?)
        }
        ProviderKind::Swarm => None,
    };
    let seal_key = seal::read(&args.sources.seal)?;
    let process = Process::new(&args.trace, "skep-controller", &args.bus)?;
    let admin = sockets::bind("--admin-listen", args.admin_listen)?;
    process.serve_admin(admin);
    let role = Box::pin(async {
        let Some(bus) = connect_to(&process, Role::Controller, &nats, &args.bus).await? else { return Ok(()) };
        let collector = traces::functions_endpoint(&args.trace, &args.provider)?;
        let config = match &data_dir {
            Some(data_dir) => {
                let (files, metrics) = (&process.files, &process.metrics);
                controller::local(&args.provider, data_dir, &args.calls, args.bus.grace, files, metrics, collector)?
            }
            None => {
                let (images, metrics) =
                    (controller::images(&args.swarm.images, seal_key.as_deref())?, &process.metrics);
                controller::swarm(&args.swarm, images, &args.calls, args.bus.grace, metrics, collector)?
            }
        };
        let (audit, public_url) = (args.audit.periodic(&process.metrics)?, args.sources.public_url.clone());
        let schedules = Some(ScheduleMetrics::register(&process.metrics).map_err(Failure::internal)?);
        let config = ControllerConfig { seal_key, public_url, audit, schedules, ..args.scaling.apply(config) };
        let Some(controller) = start_controller(&process, config, bus).await? else { return Ok(()) };
        let controller = controller.run(process.shutdown.clone());
        Box::pin(process.while_ready("controller", controller)).await.map_err(Failure::internal)
    });
    process.run_role(role).await
}

/// A controller that waits for its turn is as ready as it can be; `None` if it was asked to stop meanwhile.
async fn start_controller(process: &Process, config: ControllerConfig, bus: Bus) -> Result<Option<Controller>> {
    let waiting = CancellationToken::new();
    let readiness = process.readiness.role("controller");
    let mut starting = Box::pin(Controller::start(config, bus.for_controller(), waiting.clone()));
    let started = tokio::select! {
        started = &mut starting => started,
        () = waiting.cancelled() => {
            readiness.ready();
            match process.shutdown.run_until_cancelled(starting).await {
                Some(started) => started,
                None => return Ok(None),
            }
        }
        () = process.shutdown.cancelled() => return Ok(None),
    };
    started.map(Some).map_err(Failure::internal)
}

/// Connects a role, and looks after the streams for as long as it runs; `None` if it was asked to stop meanwhile.
async fn connect_to(process: &Process, role: Role, nats: &Nats, args: &BusArgs) -> Result<Option<Bus>> {
    let connecting = Box::pin(connect(process, role, nats, args, true));
    process.shutdown.run_until_cancelled(connecting).await.transpose()
}

/// Reads the keys that callbacks are signed with, if they are asked for.
pub(crate) fn signing_keys(args: &WorkerArgs) -> Result<Option<SigningKeys>> {
    let read = args.callback_key_file.as_deref().map(SigningKeys::read).transpose();
    read.map_err(|error| bad_setting("--callback-key-file", error))
}

pub(crate) async fn run_gateway(
    process: &Process,
    args: &GatewayArgs,
    auth: Option<AuthConfig>,
    drain: Drain,
    bus: Bus,
    dispatch: Dispatch,
    listeners: Listeners,
) -> Result<()> {
    let tls = auth::tls(args)?;
    if let Some(tls) = &tls {
        metrics::show_certificate(&process.metrics, tls)?;
    }
    let limits = args.limits.of_server(process.files.connections(args.max_connections));
    let config = GatewayConfig {
        auth,
        allowed_hosts: args.allowed_hosts.clone(),
        ui: args.ui,
        trace_url: args.trace_link.trace_url.clone(),
        trusted_proxies: args.trusted_proxies.clone(),
        tracer: process.traces.tracer.clone(),
        serve_metrics: args.open_metrics,
        async_body_limit: args.async_body_limit,
        alexa_routing: args.alexa_routing,
        limits: args.limits.of_gateway(),
        seal_key: seal::read(&args.sources.seal)?,
        public_url: args.sources.public_url.clone(),
        serve: ServeConfig {
            limits,
            proxies: args.trusted_proxies.networks().to_vec(),
            tls,
            drain,
            readiness: Some(process.readiness.clone()),
        },
        ..GatewayConfig::default()
    };
    if let Some(key) = &args.tls_key {
        skep_secret_file::warn_if_others_can_read(key);
    }
    let readiness = process.readiness.role("gateway");
    let (metrics, shutdown) = (process.metrics.clone(), process.shutdown.clone());
    Ok(Box::pin(skep_gateway::run(config, bus.for_gateway(), dispatch, listeners, metrics, readiness, shutdown))
        .await?)
}

pub(crate) async fn run_worker(
    process: &Process,
    args: &WorkerArgs,
    callback_rules: CallbackRules,
    bus_args: &BusArgs,
    bus: Bus,
    dispatch: Dispatch,
    seal_key: Option<Arc<SealKey>>,
) -> Result<()> {
    let config = WorkerConfig {
        seal_key,
        tracer: process.traces.tracer.clone(),
        concurrency_per_replica: args.concurrency_per_replica,
        lane_window: args.lane_window,
        direct_events: args.direct_events,
        long_after: args.long_after,
        callback_max_age: args.callback_max_age,
        result_limit: args.async_result_limit,
        callback_timeout: args.callback_timeout,
        callback_rules,
        callback_subjects: args.callback_subjects.clone(),
        callback_keys: signing_keys(args)?,
        keep_records: bus_args.result_ttl,
        grace: bus_args.grace,
        version: skep_protocol::VERSION,
    };
    if let Some(keys) = &args.callback_key_file {
        skep_secret_file::warn_if_others_can_read(keys);
    }
    let worker =
        skep_queue_worker::run(config, bus.for_queue_worker(), dispatch, &process.metrics, process.shutdown.clone());
    Ok(process.while_ready("queue-worker", worker).await?)
}

pub(crate) fn retry_policy(args: &WorkerArgs) -> Result<RetryPolicy> {
    if args.retry_min_wait > args.retry_max_wait {
        return Err(bad_setting("--retry-min-wait", "must not be more than --retry-max-wait"));
    }
    Ok(RetryPolicy {
        attempts: args.attempts,
        codes: args.retry_codes.clone(),
        min_wait: args.retry_min_wait,
        max_wait: args.retry_max_wait,
        backoff: args.retry_backoff,
        max_age: args.retry_max_age,
    })
}
