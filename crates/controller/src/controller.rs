//! The controller: adopts the functions in the registry, and answers requests while it leads.
//!
//! One of several controllers leads, and the others wait.
//! Each function has a task of its own, so requests about one function are serial, and those about different ones are not.

use std::{path::PathBuf, sync::Arc, time::Duration};

use prometheus::Registry;
use skep_bus::{ControlServer, ControllerBus, Error as BusError, patiently};
use skep_own_events::{OwnEventMetrics, OwnEvents};
use skep_protocol::VersionInfo;
use skep_provider::{Provider, ProviderConfig};
use skep_sources::SealKey;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};
use url::Url;

use crate::{
    Error, PeriodicAudit, Result, ScheduleMetrics,
    control::Control,
    disk, housekeeping, images,
    leadership::Leadership,
    namespaces::Namespaces,
    reconcile::Reconcilers,
    scaling::{Autoscale, Recorder, ScalingMetrics, Seconds},
    schedules,
    sources::{ProgramMetrics, Programs, Sources},
    storage_metrics::{self, StorageMetrics},
    subscriptions::Subscriptions,
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
    /// Whether functions are scaled by their use.
    pub autoscale: bool,
    /// Whether functions at zero are woken.
    pub scale_from_zero: bool,
    /// A file to which all decisions about replicas are added.
    pub record_scaling: Option<PathBuf>,
    /// How long images are kept that nothing needs; none are looked at without it.
    pub images_keep: Option<Duration>,
    pub metrics: ControllerMetrics,
}

impl Config {
    fn autoscale(&self) -> Autoscale {
        let recorder = self.record_scaling.clone().map(|path| Arc::new(Recorder::new(path)));
        Autoscale { is_on: self.autoscale, cores: None, wakes: self.scale_from_zero, recorder }
    }
}

/// Figures that outlive a term; cheap to clone.
#[derive(Clone)]
pub struct ControllerMetrics {
    programs: ProgramMetrics,
    own_events: OwnEventMetrics,
    storage: StorageMetrics,
    scaling: ScalingMetrics,
}

impl ControllerMetrics {
    /// Registers them, once in a process.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            programs: ProgramMetrics::register(registry)?,
            own_events: OwnEventMetrics::register("controller", registry)?,
            storage: StorageMetrics::register(registry)?,
            scaling: ScalingMetrics::register(registry)?,
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
        loop {
            match Box::pin(Self::begin_term(config.clone(), bus.clone(), waiting.clone())).await {
                Err(Error::Bus(BusError::NotController)) => warn!("another controller has taken over"),
                started => return started,
            }
        }
    }

    async fn begin_term(config: Config, bus: ControllerBus, waiting: CancellationToken) -> Result<Self> {
        let leadership = Leadership::acquire(&bus.leadership, &config.holder, &waiting).await?;
        let provider = Provider::start(config.provider.clone(), bus.for_provider(), leadership.lease()).await?;
        let namespaces = patiently("namespaces", may_pass, || Namespaces::read(bus.clone())).await?;
        let (reports, trials) = (bus.activity.reports().await?, bus.activity.trial_reports().await?);
        let autoscale = config.autoscale();
        let reconcilers = Arc::new(Reconcilers::new(bus.clone(), leadership.lease(), provider, autoscale));
        let abandoned = reconcilers.ending.clone().drop_guard();
        let following = Arc::clone(&reconcilers);
        reconcilers.spawn(async move { following.loads.follow(reports).await });
        let following = Arc::clone(&reconcilers);
        reconcilers.spawn(async move { following.follow_trials(trials).await });
        if reconcilers.autoscale.is_on {
            let (following, queues) = (Arc::clone(&reconcilers), bus.queue_depth.clone());
            reconcilers.spawn(async move { following.upcoming.follow(&queues).await });
        }
        if let Some(recorder) = reconcilers.autoscale.recorder.clone() {
            reconcilers.spawn(async move { recorder.run().await });
        }
        reconcilers.spawn(Box::pin(housekeeping::run(bus.housekeeping.clone())));
        if let Some(keep) = config.images_keep {
            reconcilers.spawn(Box::pin(images::run(bus.clone(), keep)));
        }
        if let Some(audit) = config.audit.clone() {
            reconcilers.spawn(Box::pin(audit.run(bus.audit.clone(), Arc::clone(&reconcilers))));
        }
        let lease = leadership.lease();
        patiently("registry", may_pass, || async { Ok(lease.migrate_functions().await?) }).await?;
        let functions = patiently("functions", may_pass, || async { Ok(bus.registry.functions().await?) }).await?;
        let subscriptions = Arc::new(Subscriptions::of(&functions));
        for (name, record) in functions {
            reconcilers.adopt(name, record).await;
        }
        reconcilers.provider.runtime.adopted_all();
        let seconds = Seconds::new(Arc::clone(&reconcilers), config.metrics.scaling.clone());
        reconcilers.spawn(Box::pin(seconds.run()));
        let (storage, all) = (config.metrics.storage.clone(), Arc::clone(&reconcilers));
        reconcilers.spawn(Box::pin(storage_metrics::run(bus.housekeeping.clone(), storage, all)));
        let control = Self::begin(&config, &reconcilers, subscriptions, namespaces);
        let server = bus.leadership.serve_control(env!("CARGO_PKG_VERSION")).await?;
        info!("the controller is active");
        Ok(Self { config, bus, leadership, reconcilers, control, server, _abandoned: abandoned })
    }

    /// Begins what makes events and calls, for as long as this controller leads.
    fn begin(
        config: &Config,
        reconcilers: &Arc<Reconcilers>,
        subscriptions: Arc<Subscriptions>,
        namespaces: Namespaces,
    ) -> Arc<Control> {
        let (bus, lease) = (reconcilers.bus.clone(), Arc::clone(&reconcilers.lease));
        let (provider, ending) = (&reconcilers.provider, &reconcilers.ending);
        let own_events = notice(reconcilers, &config.metrics, &subscriptions);
        let metrics = config.metrics.programs.clone();
        let programs = Programs::new(bus.clone(), Arc::clone(&provider.programs), metrics, Arc::clone(&subscriptions));
        let programs = Arc::new(programs);
        reconcilers.tasks.spawn(Box::pin(Arc::clone(&programs).run(ending.clone())));
        let keys = (config.seal_key.clone(), config.public_url.clone());
        let sources = Sources::new(bus.clone(), Arc::clone(&lease), provider, keys, Arc::clone(&subscriptions));
        let sources = Arc::new(sources);
        reconcilers.spawn(Box::pin(Arc::clone(&sources).look_after_captures(ending.clone())));
        let (reconcilers, version) = (Arc::clone(reconcilers), config.version.clone());
        let control = Arc::new(Control { reconcilers, namespaces, sources, programs, version });
        let reconcilers = &control.reconcilers;
        let followed = Arc::clone(&subscriptions);
        let of_functions = bus.clone();
        reconcilers.spawn(async move { followed.follow(of_functions).await });
        let metrics = config.schedules.clone();
        reconcilers.spawn(Box::pin(schedules::run(bus.clone(), lease, metrics, own_events, subscriptions)));
        reconcilers.spawn(Box::pin(schedules::follow_annotations(bus, Arc::clone(&control))));
        control
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

/// Whether a step of a start may succeed later, while this controller leads.
fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Bus(cause) if cause.may_pass() && !matches!(cause, BusError::NotController))
}

/// Begins to report what this role notices of skep itself.
fn notice(
    reconcilers: &Reconcilers,
    metrics: &ControllerMetrics,
    subscriptions: &Arc<Subscriptions>,
) -> Arc<OwnEvents> {
    let (bus, metrics) = (&reconcilers.bus, metrics.own_events.clone());
    let namespace = bus.connection.default_namespace().clone();
    let subscriptions = Arc::clone(subscriptions);
    let subscribers = Box::new(move |topics: &[String]| subscriptions.subscribed(topics));
    let own_events = OwnEvents::new(bus.events.clone(), bus.sources.clone(), namespace, metrics, subscribers);
    let own_events = Arc::new(own_events);
    reconcilers.spawn(Box::pin(disk::run(bus.housekeeping.clone(), Arc::clone(&own_events))));
    let (followed, ending) = (Arc::clone(&own_events), reconcilers.ending.clone());
    reconcilers.tasks.spawn(async move { Box::pin(followed.follow(&ending)).await });
    own_events
}
