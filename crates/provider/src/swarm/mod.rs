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
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use bollard::models::Network;
use skep_bus::{Lease, ProviderBus};
use skep_protocol::{DefaultNamespace, FunctionDeployment, FunctionName, LogLine, LogQuery, Secret};
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

pub use self::{hardening::Hardening, socket::DockerHost};

/// The most replicas of one function. Swarm would accept more, and a typing error could take it down.
const MAX_REPLICAS: u64 = 1000;
/// Docker takes a moment to release a removed service and its secrets.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(3);
const REMOVE_RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// The label of the functions' network, unless a setting names one.
const NETWORK_LABEL: &str = "openfaas=true";

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
}

/// Runs functions as services.
pub(crate) struct Swarm {
    context: Arc<ProviderContext>,
    watcher: Arc<Watcher>,
    followers: Followers,
    /// Changes to secrets happen one at a time.
    secrets: Mutex<()>,
    _watching: AbortOnDropHandle<()>,
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
            lease,
        });
        let ending = CancellationToken::new();
        let watcher = Arc::new(Watcher::new(Arc::clone(&context)));
        let watching = Arc::clone(&watcher);
        let watching = tokio::spawn({
            let ending = ending.clone();
            async move { watching.run(ending).await }
        });
        Ok(Self {
            context,
            watcher,
            followers: Followers::new(engine, bus.logs),
            secrets: Mutex::default(),
            _watching: AbortOnDropHandle::new(watching),
            ending,
        })
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
        Ok(logs::past(&self.context.engine, query).await?)
    }

    fn follow(&self, name: &FunctionName) {
        self.followers.follow(name);
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

    /// The id of the network that a function names, or of the default one; the inner error is a reason for the caller.
    ///
    /// A function may name only a network that is meant for functions, so that none can join the network of NATS.
    async fn network(&self, named: &str) -> Result<Result<String, String>, EngineError> {
        let is_asked_for = !named.is_empty();
        let named = if named.is_empty() { self.function_network.as_deref().unwrap_or_default() } else { named };
        let (found, what) = if named.is_empty() {
            (self.engine.networks("label", NETWORK_LABEL).await?, format!("network with the label {NETWORK_LABEL}"))
        } else {
            let is_meant =
                |network: &Network| network.name.as_deref() == Some(named) || network.id.as_deref() == Some(named);
            let mut found = self.engine.networks("name", named).await?;
            found.extend(self.engine.networks("id", named).await?);
            found.retain(is_meant);
            (found, format!("network {named}"))
        };
        let mut found: Vec<Network> =
            found.into_iter().filter(|network| network.scope.as_deref() == Some("swarm")).collect();
        found.sort_by(|one, other| one.created.cmp(&other.created));
        let chosen = found.into_iter().next();
        if let Some(network) = chosen.as_ref().filter(|network| is_asked_for && !is_for_functions(network)) {
            let name = network.name.as_deref().unwrap_or(named);
            return Ok(Err(format!("network {name} is not for functions: it has no label {NETWORK_LABEL}")));
        }
        let id = chosen.and_then(|network| network.id);
        Ok(id.ok_or_else(|| {
            format!("the Swarm has no {what}: make one with docker network create -d overlay --attachable --label {NETWORK_LABEL} NAME")
        }))
    }

    /// Whether this process is still the controller.
    fn may_write(&self) -> bool {
        self.lease.is_held()
    }

    fn check_leadership(&self) -> Result<()> {
        if self.may_write() { Ok(()) } else { Err(Error::Busy) }
    }
}

fn is_for_functions(network: &Network) -> bool {
    let label = NETWORK_LABEL.split_once('=');
    let labels = network.labels.as_ref();
    label.is_some_and(|(key, value)| labels.and_then(|labels| labels.get(key)).is_some_and(|found| found == value))
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
