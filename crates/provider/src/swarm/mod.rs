//! The Swarm provider: a function is a service of a Docker Swarm, and its tasks are its replicas.
//!
//! It talks to the engine of a manager, and knows neither the registry nor the names on the bus.
//! `spec.rs` describes a service, `sync.rs` keeps it that way, `watcher.rs` polls all services and tasks, and `replicas.rs` combines the three for one function.

mod choice;
mod cluster_view;
mod credentials;
mod engine;
pub(crate) mod frames;
mod hardening;
mod health;
mod labels;
mod logs;
mod networks;
mod nodes;
mod probe;
mod problem;
mod programs;
mod replicas;
mod resources;
mod secrets;
mod socket;
mod spec;
mod sync;
mod task;
mod watcher;

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use skep_bus::{Lease, ProviderBus};
use skep_protocol::{DefaultNamespace, FunctionDeployment, FunctionName, LogLine, LogQuery, SCALE_TYPE, Secret};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{Error, Replicas, Result, Runtime, provider};

use self::{
    cluster_view::ClusterView,
    engine::{Engine, EngineError},
    logs::Followers,
    replicas::SwarmReplicas,
    secrets::SecretVersions,
    sync::{DesiredState, Renew, describe},
    watcher::Watcher,
};

pub use self::{
    hardening::Hardening,
    nodes::{NodeHook, NodesConfig},
    socket::DockerHost,
};

/// The most replicas of one function. Swarm would accept more, and a typing error could take it down.
const MAX_REPLICAS: u64 = 1000;
/// Docker takes a moment to release a removed service and its secrets.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(3);
const REMOVE_RETRY_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Clone, Debug)]
pub struct SwarmConfig {
    /// The engine of a manager.
    pub docker_host: DockerHost,
    /// The network of functions that name none; if this is not set either, the first one with the label `openfaas=true`.
    pub function_network: Option<String>,
    /// What the containers of functions may not do.
    pub hardening: Hardening,
    /// How long one call may run if the function does not say.
    pub default_timeout: Duration,
    /// The collector of spans, for functions that ask for it.
    pub collector: Option<String>,
    /// What adds and removes machines; without it, skep does neither.
    pub nodes: Option<NodesConfig>,
    /// Images that skep keeps itself, if it does.
    pub images: Option<OwnImages>,
}

/// Images that skep keeps itself.
#[derive(Clone)]
pub struct OwnImages {
    /// Where the engine of each node pulls them.
    pub address: String,
    /// What an engine shows as its login: `USER:PASSWORD`.
    pub login: String,
}

impl fmt::Debug for OwnImages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OwnImages").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Runs functions as services.
pub(crate) struct Swarm {
    context: Arc<ProviderContext>,
    watcher: Arc<Watcher>,
    followers: Followers,
    /// Changes to secrets happen one at a time.
    secrets: Mutex<()>,
    _watching: AbortOnDropHandle<()>,
    _nodes: Option<AbortOnDropHandle<()>>,
    ending: CancellationToken,
}

/// What all functions have in common.
struct ProviderContext {
    engine: Arc<Engine>,
    cluster: ClusterView,
    /// The registry's id, by which its services are recognized.
    registry: String,
    function_network: Option<String>,
    hardening: Hardening,
    namespace: DefaultNamespace,
    default_timeout: Duration,
    collector: Option<String>,
    images: Option<OwnImages>,
    lease: Arc<Lease>,
}

impl Swarm {
    pub(crate) async fn connect(config: SwarmConfig, bus: ProviderBus, lease: Arc<Lease>) -> Result<Self> {
        let engine = Arc::new(Engine::connect(&config.docker_host).await?);
        let context = Arc::new(ProviderContext {
            engine: Arc::clone(&engine),
            cluster: ClusterView::default(),
            registry: bus.registry.identity().await?,
            function_network: config.function_network,
            hardening: config.hardening,
            namespace: bus.connection.default_namespace().clone(),
            default_timeout: config.default_timeout,
            collector: config.collector,
            images: config.images,
            lease,
        });
        let ending = CancellationToken::new();
        let watcher = Arc::new(Watcher::new(Arc::clone(&context)));
        let watching = Arc::clone(&watcher);
        let watching = tokio::spawn({
            let ending = ending.clone();
            async move { watching.run(ending).await }
        });
        let nodes = config.nodes.map(|nodes| tokio::spawn(nodes::run(Arc::clone(&context), nodes)));
        Ok(Self {
            context,
            watcher,
            followers: Followers::new(engine, bus.logs),
            secrets: Mutex::default(),
            _watching: AbortOnDropHandle::new(watching),
            _nodes: nodes.map(AbortOnDropHandle::new),
            ending,
        })
    }
}

impl Swarm {
    /// The service of a function, and that of its canary if there is one.
    fn services_of(&self, function: &FunctionName) -> impl Iterator<Item = FunctionName> + use<> {
        let canary = function.of_canary().ok().filter(|canary| self.context.cluster.has(canary.as_str()));
        [function.clone()].into_iter().chain(canary)
    }
}

#[async_trait]
impl Runtime for Swarm {
    fn name(&self) -> &'static str {
        "skep-swarm"
    }

    fn orchestration(&self) -> &'static str {
        "swarm"
    }

    fn check_replicas(&self, name: &FunctionName, replicas: u64) -> Result<()> {
        if replicas <= MAX_REPLICAS {
            return Ok(());
        }
        Err(Error::Invalid(format!("function {name}: {replicas} replicas are more than the {MAX_REPLICAS} allowed")))
    }

    async fn admit(&self, name: &FunctionName, deployment: &FunctionDeployment) -> Result<()> {
        if deployment.labels.get(SCALE_TYPE).is_some_and(|kind| kind == "cpu") {
            let reason = format!("label {SCALE_TYPE}: nobody measures the cpu of replicas on a Swarm; use auto");
            return Err(Error::Invalid(reason));
        }
        let wanted = DesiredState {
            deployment: Arc::new(FunctionDeployment { registry_auth: String::new(), ..deployment.clone() }),
            replicas: 0,
            registry_auth: deployment.registry_auth.clone(),
            renew: Renew::No,
        };
        describe(&self.context, name, &wanted).await.map(|_| ()).map_err(Error::from)
    }

    fn replicas(&self, name: &FunctionName) -> Box<dyn Replicas> {
        Box::new(SwarmReplicas::new(Arc::clone(&self.context), name.clone()))
    }

    fn adopted_all(&self) {
        self.watcher.is_complete.store(true, Ordering::Release);
        self.context.cluster.refresh();
    }

    fn forget(&self, name: &FunctionName) {
        self.context.cluster.leave(name);
    }

    /// Services keep running without the controller.
    fn kill(&self) {}

    async fn end(&self) {
        self.ending.cancel();
        self.followers.end();
    }
}

#[async_trait]
impl provider::Logs for Swarm {
    async fn past(&self, query: &LogQuery) -> Result<Vec<LogLine>> {
        Ok(logs::past_of(&self.context.engine, query, self.services_of(&query.function)).await?)
    }

    fn follow(&self, name: &FunctionName) {
        self.services_of(name).for_each(|service| self.followers.follow(&service));
    }
}

#[async_trait]
impl provider::Secrets for Swarm {
    async fn list(&self, namespace: &str) -> Result<Vec<Secret>> {
        Ok(self.context.secrets().await?.listed(namespace))
    }

    /// Docker gives a secret only to the services that mount it.
    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        Err(Error::Invalid(format!("a Swarm does not give the value of secret {name} back")))
    }

    async fn create(&self, secret: Secret) -> Result<()> {
        let _one_at_a_time = self.secrets.lock().await;
        let versions = self.context.secrets().await?;
        if versions.newest(&secret.name, &secret.namespace).is_some() {
            return Err(Error::Conflict(format!("secret {} already exists: use PUT to update it", secret.name)));
        }
        self.context.check_leadership()?;
        secrets::add(&self.context.engine, self.context.owner(), &secret, &versions).await
    }

    /// Functions that use it get new tasks with the new value, one at a time.
    async fn update(&self, secret: Secret) -> Result<()> {
        let _one_at_a_time = self.secrets.lock().await;
        let versions = self.context.secrets().await?;
        if versions.newest(&secret.name, &secret.namespace).is_none() {
            return Err(Error::NotFound(format!("secret {} not found", secret.name)));
        }
        self.context.check_leadership()?;
        secrets::add(&self.context.engine, self.context.owner(), &secret, &versions).await?;
        self.watcher.stale_secrets.store(true, Ordering::Release);
        self.context.cluster.secrets_changed();
        Ok(())
    }

    async fn delete(&self, secret: Secret) -> Result<()> {
        let _one_at_a_time = self.secrets.lock().await;
        let versions = self.context.secrets().await?;
        if versions.newest(&secret.name, &secret.namespace).is_none() {
            return Err(Error::NotFound(format!("secret {} not found", secret.name)));
        }
        self.context.check_leadership()?;
        for version in versions.all_of(&secret.name, &secret.namespace) {
            self.context.remove_secret(&version.id, &secret.name).await?;
        }
        Ok(())
    }
}

impl ProviderContext {
    /// The owner of a secret: the registry, and the network of its functions.
    fn owner(&self) -> (&str, &str) {
        (&self.registry, self.function_network.as_deref().unwrap_or_default())
    }

    fn registry_label(&self) -> String {
        format!("{}={}", labels::REGISTRY, self.registry)
    }

    /// Removes a version of a secret, and waits for a service that used it and is being removed.
    async fn remove_secret(&self, id: &str, name: &str) -> Result<()> {
        let give_up = Instant::now() + REMOVE_TIMEOUT;
        loop {
            match self.engine.remove_secret(id).await {
                Ok(()) => return Ok(()),
                Err(EngineError::Refused { message, .. }) if Instant::now() >= give_up => {
                    return Err(Error::Conflict(format!("secret {name}: {message}")));
                }
                Err(EngineError::Refused { .. }) => sleep(REMOVE_RETRY_INTERVAL).await,
                Err(other) => return Err(other.into()),
            }
        }
    }

    async fn secrets(&self) -> Result<SecretVersions, EngineError> {
        SecretVersions::read(&self.engine, &self.registry).await
    }

    /// Whether this process is still the controller.
    fn may_write(&self) -> bool {
        self.lease.is_held()
    }

    fn check_leadership(&self) -> Result<()> {
        if self.may_write() { Ok(()) } else { Err(Error::Busy) }
    }
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Refused { status: 404, message } => Self::NotFound(message),
            EngineError::Refused { status: 409, message } => Self::Conflict(message),
            EngineError::Refused { message, .. } => Self::Invalid(message),
            EngineError::OutOfSequence => Self::Busy,
            EngineError::Away(_) => Self::Orchestrator(error.to_string()),
        }
    }
}

impl From<sync::SyncError> for Error {
    fn from(error: sync::SyncError) -> Self {
        match error {
            sync::SyncError::Refused(reason) => Self::Invalid(reason),
            sync::SyncError::LeadershipLost | sync::SyncError::OutOfSequence => Self::Busy,
            sync::SyncError::Away(_) => Self::Orchestrator(error.to_string()),
        }
    }
}
