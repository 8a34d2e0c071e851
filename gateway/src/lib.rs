//! The HTTP entry point of skep, and its synchronous entry point on NATS.
//!
//! It turns requests into calls of functions (through dispatch), into stored calls (through the bus), or into questions to the controller.
//! It keeps nothing: any number of gateways may run anywhere.
//! It does not know how a function is run, what an orchestrator is, or when a queued call is done.

mod addresses;
mod alert;
mod alexa;
mod app;
mod async_function;
mod audit;
mod audit_log;
mod auth;
mod body;
mod browsers;
mod call_headers;
mod calls;
mod config;
mod dead;
mod error;
mod events;
mod fast_path_router;
mod figures;
mod forwarded;
mod function;
mod functions;
mod held;
mod hooks;
mod images;
mod input;
mod logs;
mod metrics;
mod namespaces;
mod nats;
mod outage;
mod pages;
mod platform;
mod prefer;
mod queues;
mod rates;
mod root;
mod routes;
mod secrets;
mod sources;
mod spans;
mod stack;
mod stats;
mod status;
mod target;
mod ui;
mod versions;

use std::{sync::Arc, time::Duration};

use futures_util::future::OptionFuture;
use prometheus::Registry;
use skep_bus::GatewayBus;
use skep_dispatch::Dispatch;
use skep_http::Runtimes;
use skep_http::{RoleReadiness, ServeConfig, serve};
use skep_own_events::{OwnEventMetrics, OwnEvents};
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    app::App, audit_log::AuditLog, auth::Auth, browsers::Guard, fast_path_router::FastPathRouter, figures::Figures,
    hooks::Hooks, metrics::HttpMetrics, queues::Queues, rates::Rates, stats::StatsView,
};
pub use crate::{
    auth::{AuthConfig, Credentials, NewToken, Role, Token, TokenFile},
    config::{GatewayConfig, ImagesConfig, Limits},
    forwarded::TrustedProxies,
    routes::closed_paths,
    ui::UiMode,
};
pub(crate) use crate::{
    error::{Error, Result},
    routes::{Assembly, Routes},
};

/// Connections to the admin API's own listener.
const MAX_OPERATORS: usize = 1024;
/// Changes that are made at once; further ones wait.
const MAX_CHANGES: usize = 256;

/// Where a gateway listens.
pub struct Listeners {
    pub public: TcpListener,
    /// Where `/system` and `/ui` are, if not at the public one.
    pub admin_api: Option<TcpListener>,
    /// Where engines pull images, if they do.
    pub images: Option<(TcpListener, ImagesConfig)>,
}

/// Serves until `shutdown`, then drains: readiness drops first, then callers have a while to leave, and what is in flight has some time to end.
pub async fn run(
    config: GatewayConfig,
    bus: GatewayBus,
    dispatch: Dispatch,
    listeners: Listeners,
    registry: Registry,
    readiness: RoleReadiness,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let Listeners { public, admin_api, images } = listeners;
    let (images, kept) = images.unzip();
    let requests = bus.requests.subscribe().await?;
    let (address, grace) = (public.local_addr()?, config.serve.drain.grace);
    let app = Arc::new(app(&config, kept, bus, dispatch, &registry, shutdown.clone())?);
    let rates = Rates::register(config.limits.requests_per_address, &config.trusted_proxies, &registry)?.map(Arc::new);
    let (router, admin_router) = routers(&config, &app, &public, admin_api.as_ref(), &rates, registry)?;
    let draining = CancellationToken::new();
    let (logged, end_of_log) = (Arc::clone(&app), CancellationToken::new());
    let audit_log = tokio::spawn({
        let end = end_of_log.clone();
        async move { logged.audit_log.follow(&end).await }
    });
    let runtimes = Runtimes::for_each_core();
    let mut for_operators = config.serve.clone();
    for_operators.limits.max_connections = for_operators.limits.max_connections.min(MAX_OPERATORS);
    // They reach it over the network of the stack alone, and speak no TLS there.
    let for_engines = ServeConfig { tls: None, ..for_operators.clone() };
    let serve = |listener, router: FastPathRouter, config| {
        serve(listener, move |peer| stack::of_connection(&router, peer), config, &runtimes, draining.clone())
    };
    let admin = admin_api.zip(admin_router);
    info!(%address, "gateway is open");
    readiness.ready();
    tokio::join!(
        serve(public, router, config.serve),
        OptionFuture::from(admin.map(|(listener, router)| Box::pin(serve(listener, router, for_operators)))),
        OptionFuture::from(images.map(|listener| Box::pin(serve(listener, images::pulls(&app), for_engines)))),
        Box::pin(queues::follow(&app)),
        Box::pin(stats::follow(&app)),
        Box::pin(figures::follow(&app)),
        Box::pin(hooks::follow(&app)),
        app.auth.follow(&app.shutdown),
        OptionFuture::from(rates.as_ref().map(|rates| rates.follow(&app.shutdown))),
        nats::answer_requests(Arc::clone(&app), requests, draining.clone(), grace),
        async {
            shutdown.cancelled().await;
            readiness.not_ready();
            draining.cancel();
        },
    );
    drain_tasks(&app, grace).await;
    // No more entries come now, so it ends within some seconds.
    end_of_log.cancel();
    if let Err(error) = audit_log.await {
        warn!(%error, "the task of the audit log failed");
    }
    app.bus.connection.flush().await;
    runtimes.stop();
    Ok(())
}

async fn drain_tasks(app: &App, grace: Duration) {
    app.tasks.close();
    if timeout(grace, app.tasks.wait()).await.is_err() {
        warn!("alerts or changes have not ended within the grace period");
    }
}

/// What answers at each listener.
fn routers(
    config: &GatewayConfig,
    app: &Arc<App>,
    public: &TcpListener,
    admin_api: Option<&TcpListener>,
    rates: &Option<Arc<Rates>>,
    registry: Registry,
) -> anyhow::Result<(FastPathRouter, Option<FastPathRouter>)> {
    let asked_at = admin_api.unwrap_or(public).local_addr()?.ip();
    let guard = Guard::new(asked_at, &config.allowed_hosts, config.auth.is_some(), config.ui == UiMode::Read);
    let routes = Assembly {
        app: Arc::clone(app),
        guard: &guard,
        http_metrics: HttpMetrics::register(&registry)?,
        own_port_metrics: config.serve_metrics.then_some(registry),
    };
    if admin_api.is_none() {
        return Ok((FastPathRouter::new(Arc::clone(app), routes.together(), rates.clone()), None));
    }
    let (public, admin_api) = routes.apart();
    let admin_api = FastPathRouter::without_functions(admin_api, rates.clone());
    Ok((FastPathRouter::new(Arc::clone(app), public, rates.clone()), Some(admin_api)))
}

fn app(
    config: &GatewayConfig,
    images: Option<ImagesConfig>,
    bus: GatewayBus,
    dispatch: Dispatch,
    registry: &Registry,
    shutdown: CancellationToken,
) -> anyhow::Result<App> {
    let audit_log = Arc::new(AuditLog::register(Some(bus.audit_log.clone()), registry)?);
    let namespace = bus.connection.default_namespace().clone();
    let (events, sources) = (bus.events.clone(), bus.sources.clone());
    let own_events = OwnEventMetrics::register("gateway", registry)?;
    let functions = dispatch.registry().clone();
    let subscribers = Box::new(move |topics: &[String]| functions.subscribed(topics));
    Ok(App {
        own_events: OwnEvents::new(events, sources, namespace.clone(), own_events, subscribers)
            .traced(config.tracer.clone()),
        bus,
        dispatch,
        async_body_limit: config.async_body_limit,
        alexa_routing: config.alexa_routing,
        ui: config.ui,
        trace_url: config.trace_url.clone(),
        tls: config.serve.tls.clone(),
        figures: Figures::new(),
        body_idle_timeout: config.body_idle_timeout,
        trusted_proxies: config.trusted_proxies.clone(),
        tracer: config.tracer.clone(),
        alerts: Arc::new(Semaphore::new(alert::MAX_AT_ONCE)),
        queues: Queues::register(config.limits.queue_bytes, registry)?,
        stats: StatsView::new(),
        audits: Arc::new(Semaphore::new(1)),
        images,
        hooks: Hooks::register(config, registry)?,
        auth: Arc::new(Auth::new(config.auth.clone(), Arc::clone(&audit_log), namespace, registry)?),
        audit_log,
        changes: Arc::new(Semaphore::new(MAX_CHANGES)),
        followers: Arc::new(Semaphore::new(config.limits.followers.min(Semaphore::MAX_PERMITS))),
        waiters: Semaphore::new(config.limits.waiters.min(Semaphore::MAX_PERMITS)),
        limits: config.limits,
        tasks: TaskTracker::new(),
        shutdown,
    })
}
