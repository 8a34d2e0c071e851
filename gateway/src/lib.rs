//! The public HTTP door of skep, and its synchronous door on NATS.
//!
//! It turns requests into calls of functions (through dispatch), into stored invocations (through the bus), or into questions to the controller.
//! It keeps nothing: any number of gateways may run anywhere.
//! It does not know how a function is run, what an orchestrator is, or when a queued call is done.

mod alert;
mod alexa;
mod app;
mod async_function;
mod audit;
mod auth;
mod body;
mod calls;
mod config;
mod dead;
mod door;
mod entrance;
mod error;
mod events;
mod function;
mod functions;
mod input;
mod logs;
mod metrics;
mod namespaces;
mod nats;
mod platform;
mod prefer;
mod queues;
mod root;
mod routes;
mod secrets;
mod stall;
mod target;

use std::sync::Arc;

use axum::Router;
use prometheus::Registry;
use skep_bus::Bus;
use skep_daemon::{RoleReadiness, serve};
use skep_dispatch::Dispatch;
use skep_threads::Threads;
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{app::App, audit::Audits, auth::Auth, entrance::Entrance, metrics::HttpMetrics, queues::Queues};
pub use crate::{
    auth::{AuthConfig, Credentials, NewToken, Role, Token, TokenFile},
    config::GatewayConfig,
    routes::closed_paths,
};
pub(crate) use crate::{
    error::{Error, Result},
    routes::Routes,
};

/// Serves until `shutdown`, then drains: readiness drops first, then callers have a while to leave, and what is in flight has some time to end.
pub async fn run(
    config: GatewayConfig,
    bus: Bus,
    dispatch: Dispatch,
    listener: TcpListener,
    registry: Registry,
    readiness: RoleReadiness,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let requests = bus.call_requests().await?;
    let (address, grace) = (listener.local_addr()?, config.serve.drain.grace);
    let (app, routes) = assemble(&config, bus, dispatch, registry, shutdown.clone())?;
    let draining = CancellationToken::new();
    let threads = Threads::for_each_core();
    info!(%address, "gateway is open");
    readiness.ready();
    tokio::join!(
        serve(listener, Entrance::new(Arc::clone(&app), routes), config.serve, &threads, draining.clone()),
        Box::pin(queues::follow(&app)),
        audit::follow(&app, config.audit_every),
        app.auth.follow(&app.shutdown),
        nats::answer_requests(Arc::clone(&app), requests, draining.clone(), grace),
        async {
            shutdown.cancelled().await;
            readiness.not_ready();
            draining.cancel();
        },
    );
    app.tasks.close();
    if timeout(grace, app.tasks.wait()).await.is_err() {
        warn!("alerts were not handled within the grace period");
    }
    app.bus.flush().await;
    threads.stop();
    Ok(())
}

fn assemble(
    config: &GatewayConfig,
    bus: Bus,
    dispatch: Dispatch,
    registry: Registry,
    shutdown: CancellationToken,
) -> anyhow::Result<(Arc<App>, Router)> {
    let http_metrics = HttpMetrics::register(&registry)?;
    let app = Arc::new(App {
        bus,
        dispatch,
        async_body_limit: config.async_body_limit,
        alexa_routing: config.alexa_routing,
        body_idle_timeout: config.body_idle_timeout,
        alerts: Arc::new(Semaphore::new(alert::MOST_AT_ONCE)),
        queues: Queues::register(&registry)?,
        audits: Audits::register(&registry)?,
        auth: Arc::new(Auth::new(config.auth.clone(), &registry)?),
        followers: Arc::new(Semaphore::new(events::MOST_FOLLOWERS)),
        tasks: TaskTracker::new(),
        shutdown,
    });
    let own_port_metrics = config.serve_metrics.then_some(registry);
    let router = routes::router(Arc::clone(&app), http_metrics, own_port_metrics);
    Ok((app, router))
}
