//! The controller: adopts the functions in the registry, and answers requests while it leads.
//!
//! One of several controllers leads, and the others wait.
//! Each function has a task of its own, so requests about one function are serial, and those about different ones are not.

use std::{sync::Arc, time::Duration};

use prometheus::Registry;
use skep_bus::{ControlServer, ControllerBus};
use skep_own_events::{OwnEventMetrics, OwnEvents};
use skep_protocol::VersionInfo;
use skep_provider::{Provider, ProviderConfig};
use skep_sources::SealKey;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};
use url::Url;

use crate::{
    PeriodicAudit, Result, ScheduleMetrics,
    control::Control,
    disk, housekeeping,
    leadership::Leadership,
    namespaces::Namespaces,
    reconcile::Reconcilers,
    schedules,
    sources::{ProgramMetrics, Programs, Sources},
};

/// Requests that are answered at the same time; more wait on the bus.
const MAX_CONCURRENT_REQUESTS: usize = 64;

#[derive(Clone)]
pub struct Config {
    /// What `GET /system/info` says of the provider.
    pub version: VersionInfo,
    /// How long calls may go on at the end before their replicas are killed.
    pub grace: Duration,
    /// A name that no other controller has; one with the name of a controller that has ended need not wait for its lease.
    pub holder: String,
    pub provider: ProviderConfig,
    /// The audit that is run again and again, if it is.
    pub audit: Option<PeriodicAudit>,
    /// Where it counts what it plans of schedules, if it does.
    pub schedules: Option<ScheduleMetrics>,
    /// What secrets of sources are sealed with; without it there are none.
    pub seal_key: Option<Arc<SealKey>>,
    /// Where senders reach the gateways, for sources without a `url`.
    pub public_url: Option<Url>,
    pub metrics: ControllerMetrics,
}

/// Figures that outlive a term; cheap to clone.
#[derive(Clone)]
pub struct ControllerMetrics {
    programs: ProgramMetrics,
    own_events: OwnEventMetrics,
}

impl ControllerMetrics {
    /// Registers them, once in a process.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            programs: ProgramMetrics::register(registry)?,
            own_events: OwnEventMetrics::register("controller", registry)?,
        })
    }
}

/// A controller that leads, has adopted the registry, and answers as soon as it runs.
pub struct Controller {
    config: Config,
    bus: ControllerBus,
    leadership: Leadership,
    reconcilers: Arc<Reconcilers>,
    control: Arc<Control>,
    server: ControlServer,
    /// Without an orderly end nothing may go on.
    _abandoned: DropGuard,
}

/// Why a term of leadership ended.
enum TermEnd {
    Shutdown,
    /// Another controller leads now.
    LeadershipLost,
}

impl Controller {
    /// Waits until no other controller leads, and adopts the functions of the registry.
    ///
    /// `waiting` is cancelled if there is another one.
    pub async fn start(config: Config, bus: ControllerBus, waiting: CancellationToken) -> Result<Self> {
        let leadership = Leadership::acquire(&bus.leadership, &config.holder, &waiting).await?;
        let provider = Provider::start(config.provider.clone(), bus.for_provider(), leadership.lease()).await?;
        let namespaces = Namespaces::read(bus.clone()).await?;
        let reports = bus.activity.reports().await?;
        let ending = CancellationToken::new();
        let abandoned = ending.clone().drop_guard();
        let programs = Programs::new(bus.clone(), Arc::clone(&provider.programs), config.metrics.programs.clone());
        let programs = Arc::new(programs);
        let reconcilers = Arc::new(Reconcilers::new(bus.clone(), leadership.lease(), provider, ending.clone()));
        let following = Arc::clone(&reconcilers);
        reconcilers.spawn(async move { following.usage.follow(reports).await });
        reconcilers.spawn(Box::pin(housekeeping::run(bus.housekeeping.clone())));
        if let Some(audit) = config.audit.clone() {
            reconcilers.spawn(Box::pin(audit.run(bus.audit.clone(), Arc::clone(&reconcilers))));
        }
        leadership.lease().migrate_functions().await?;
        for (name, record) in bus.registry.functions().await? {
            reconcilers.adopt(name, record).await;
        }
        reconcilers.provider.runtime.adopted_all();
        notice(&reconcilers, &config.metrics, &ending);
        reconcilers.tasks.spawn(Box::pin(Arc::clone(&programs).run(ending)));
        let keys = (config.seal_key.clone(), config.public_url.clone());
        let sources = Arc::new(Sources::new(bus.clone(), leadership.lease(), &reconcilers.provider, keys));
        reconcilers.spawn(Box::pin(Arc::clone(&sources).look_after_captures()));
        let version = config.version.clone();
        let control =
            Arc::new(Control { reconcilers: Arc::clone(&reconcilers), namespaces, sources, programs, version });
        reconcilers.spawn(Box::pin(schedules::run(bus.clone(), leadership.lease(), config.schedules.clone())));
        reconcilers.spawn(Box::pin(schedules::follow_annotations(bus.clone(), Arc::clone(&control))));
        let server = bus.leadership.serve_control(env!("CARGO_PKG_VERSION")).await?;
        info!("the controller is active");
        Ok(Self { config, bus, leadership, reconcilers, control, server, _abandoned: abandoned })
    }

    /// Answers until the token is cancelled, then drains all replicas that need the controller.
    ///
    /// When another controller has taken over, it waits until it leads again.
    pub async fn run(self, shutdown: CancellationToken) -> Result<()> {
        let mut controller = self;
        loop {
            let (config, bus) = (controller.config.clone(), controller.bus.clone());
            match controller.serve_term(&shutdown).await {
                TermEnd::Shutdown => return Ok(()),
                TermEnd::LeadershipLost => warn!("another controller has taken over"),
            }
            let Some(started) =
                shutdown.run_until_cancelled(Box::pin(Self::start(config, bus, CancellationToken::new()))).await
            else {
                return Ok(());
            };
            controller = started?;
        }
    }

    /// Answers requests until shutdown, or until another controller leads.
    async fn serve_term(mut self, shutdown: &CancellationToken) -> TermEnd {
        let at_once = Arc::new(Semaphore::new(MAX_CONCURRENT_REQUESTS));
        let end = loop {
            let Ok(permit) = Arc::clone(&at_once).acquire_owned().await else { break TermEnd::Shutdown };
            let call = tokio::select! {
                biased;
                () = shutdown.cancelled() => break TermEnd::Shutdown,
                () = self.leadership.lost() => break TermEnd::LeadershipLost,
                call = self.server.next() => call,
            };
            let Some(call) = call else {
                warn!("NATS connection closed for good; the controller ends");
                break TermEnd::Shutdown;
            };
            let control = Arc::clone(&self.control);
            self.reconcilers.tasks.spawn(async move {
                control.answer(&call).await;
                drop(permit);
            });
        };
        drop(self.server);
        self.reconcilers.end(self.config.grace).await;
        self.leadership.resign().await;
        end
    }
}

/// Begins to tell what this role notices of skep itself.
fn notice(reconcilers: &Reconcilers, metrics: &ControllerMetrics, ending: &CancellationToken) {
    let bus = &reconcilers.bus;
    let namespace = bus.connection.default_namespace().clone();
    let own_events = OwnEvents::new(bus.events.clone(), bus.sources.clone(), namespace, metrics.own_events.clone());
    let own_events = Arc::new(own_events);
    reconcilers.spawn(Box::pin(disk::run(bus.housekeeping.clone(), Arc::clone(&own_events))));
    let ending = ending.clone();
    reconcilers.spawn(async move { Box::pin(own_events.follow(&ending)).await });
}
