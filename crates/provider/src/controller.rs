//! The controller: takes up what the registry holds, and answers the operations on the bus.
//!
//! Of several controllers one is active: it holds a lease, and the others wait for it.
//! Each function has a task of its own ([`Function`](crate::function::Function)), so that operations on one are serial and on different ones are not.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use skep_bus::{Bus, ControlServer, Lease};
use skep_protocol::VersionInfo;
use tokio::sync::Semaphore;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::{AbortOnDropHandle, TaskTracker},
};
use tracing::{info, warn};

use crate::{
    Error, LocalConfig, Provider, Result, SwarmConfig, functions::Functions, in_use::InUse, local::Local,
    namespaces::Namespaces, swarm::Swarm,
};

/// Operations that are answered at the same time; more wait on the bus.
const MAX_AT_ONCE: usize = 64;

#[derive(Clone)]
pub struct Config {
    /// What `GET /system/info` says of the provider.
    pub version: VersionInfo,
    /// How long calls may go on at the end before their replicas are killed.
    pub grace: Duration,
    /// A name that no other controller has; one with the name of a controller that has ended need not wait for its lease.
    pub holder: String,
    pub provider: ProviderConfig,
}

/// What runs the functions.
#[derive(Clone)]
pub enum ProviderConfig {
    Local(LocalConfig),
    Swarm(SwarmConfig),
}

/// A controller that has taken up the registry and answers as soon as it runs.
pub struct Controller {
    config: Config,
    bus: Bus,
    lease: Arc<Lease>,
    functions: Arc<Functions>,
    server: ControlServer,
    keeping: AbortOnDropHandle<()>,
    /// Without an orderly end nothing may go on.
    _abandoned: DropGuard,
}

/// Why a controller does not answer any more.
enum End {
    Shutdown,
    /// Another one has taken over.
    Deposed,
}

impl Controller {
    /// Waits until no other controller is active, and takes up what the registry asks for.
    ///
    /// `waiting` is cancelled when there is another one.
    pub async fn start(config: Config, bus: Bus, waiting: CancellationToken) -> Result<Self> {
        let lease = Arc::new(bus.take_lease(&config.holder, &waiting).await?);
        let keeping = tokio::spawn({
            let lease = Arc::clone(&lease);
            async move { lease.keep().await }
        });
        let keeping = AbortOnDropHandle::new(keeping);
        let provider: Arc<dyn Provider> = match config.provider.clone() {
            ProviderConfig::Local(local) => Arc::new(Local::new(local, bus.clone())?),
            ProviderConfig::Swarm(swarm) => Arc::new(Swarm::connect(swarm, bus.clone(), Arc::clone(&lease)).await?),
        };
        let namespaces = Namespaces::read(bus.clone()).await?;
        let told = bus.hear_use().await?;
        let ending = CancellationToken::new();
        let abandoned = ending.clone().drop_guard();
        let functions = Arc::new(Functions {
            bus: bus.clone(),
            lease: Arc::clone(&lease),
            provider,
            version: config.version.clone(),
            in_use: InUse::default(),
            namespaces,
            running: Mutex::default(),
            tasks: TaskTracker::new(),
            ending,
        });
        let hearing = Arc::clone(&functions);
        functions.tasks.spawn(async move {
            hearing.ending.run_until_cancelled(hearing.in_use.hear(told)).await;
        });
        lease.migrate_functions().await?;
        for (name, record) in bus.functions().await? {
            functions.take_up(name, record).await;
        }
        functions.provider.all_taken_up();
        let server = bus.serve_control(env!("CARGO_PKG_VERSION")).await?;
        info!("the controller is active");
        Ok(Self { config, bus, lease, functions, server, keeping, _abandoned: abandoned })
    }

    /// Answers until the token is cancelled, then drains all replicas that need the controller.
    ///
    /// When another controller has taken over, it waits for its next turn.
    pub async fn run(self, shutdown: CancellationToken) -> Result<()> {
        let mut controller = self;
        loop {
            let (config, bus) = (controller.config.clone(), controller.bus.clone());
            match controller.reign(&shutdown).await {
                End::Shutdown => return Ok(()),
                End::Deposed => warn!("another controller has taken over"),
            }
            let Some(started) =
                shutdown.run_until_cancelled(Box::pin(Self::start(config, bus, CancellationToken::new()))).await
            else {
                return Ok(());
            };
            controller = started?;
        }
    }

    async fn reign(mut self, shutdown: &CancellationToken) -> End {
        let at_once = Arc::new(Semaphore::new(MAX_AT_ONCE));
        let end = loop {
            let Ok(permit) = Arc::clone(&at_once).acquire_owned().await else { break End::Shutdown };
            let call = tokio::select! {
                biased;
                () = shutdown.cancelled() => break End::Shutdown,
                () = self.lease.lost() => break End::Deposed,
                call = self.server.next() => call,
            };
            let Some(call) = call else {
                warn!("NATS connection is closed for good, the controller ends");
                break End::Shutdown;
            };
            let functions = Arc::clone(&self.functions);
            self.functions.tasks.spawn(async move {
                let answer = functions.answer(&call).await;
                call.answer(answer.map_err(Error::into_refusal)).await;
                drop(permit);
            });
        };
        drop(self.server);
        self.functions.end(self.config.grace).await;
        drop(self.keeping);
        self.lease.release().await;
        end
    }
}
