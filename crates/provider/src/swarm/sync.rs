//! Brings a function's service to its desired state: reads it, decides, and writes, and starts over if another writer was faster.

use std::{sync::Arc, time::Duration};

use bollard::{
    auth::DockerCredentials,
    models::{Service, ServiceSpec},
};
use skep_backoff::Backoff;
use skep_protocol::{FunctionDeployment, FunctionName, ImageStore};
use thiserror::Error;
use tracing::info;

use super::{
    ProviderContext,
    cluster_view::ServiceState,
    credentials,
    engine::EngineError,
    labels::REGISTRY,
    spec::{self, Surroundings},
    watcher::service_state,
};

/// How often it is tried if another writer changes the same service at the same time.
const MAX_TRIES: u64 = 12;
/// The longest delay before the next try; it is random, so that two writers do not collide again.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(640));
/// A sync that takes longer is given up and tried again later.
const SYNC_TIMEOUT: Duration = Duration::from_secs(25);

/// The desired state of a service.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) name: FunctionName,
    pub(super) wanted: Option<DesiredState>,
    /// The fingerprint that was last written to the service.
    pub(super) applied: Option<String>,
}

#[derive(Clone)]
pub(super) struct DesiredState {
    pub(super) deployment: Arc<FunctionDeployment>,
    pub(super) replicas: u64,
    /// Credentials for the image's registry, until the service has them.
    pub(super) registry_auth: String,
    pub(super) renew: Renew,
}

/// Whether new tasks are needed although the spec is the same, because the image may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renew {
    No,
    Yes,
}

/// The state in which a sync leaves a service.
#[derive(Debug)]
pub(super) enum Synced {
    Gone,
    /// It is as wanted, or it was and Swarm has rolled it back since.
    Set {
        fingerprint: String,
        seen: u64,
    },
}

#[derive(Debug, Error)]
pub(super) enum SyncError {
    /// It cannot be brought to the desired state.
    #[error("{0}")]
    Refused(String),
    /// Another controller has taken over.
    #[error("another controller has taken over")]
    LeadershipLost,
    #[error("{0}")]
    Away(String),
    /// Another writer was faster, so it has to be read again.
    #[error("the service is being changed by others all the time")]
    OutOfSequence,
}

impl From<EngineError> for SyncError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Refused { message, .. } => Self::Refused(message),
            EngineError::OutOfSequence => Self::OutOfSequence,
            EngineError::Away(_) => Self::Away(error.to_string()),
        }
    }
}

/// The next step, given the current service.
#[derive(Debug, PartialEq)]
enum Step {
    Nothing,
    Create,
    /// Write the spec, with this many forced updates.
    Update(u64),
    /// Write only the number of replicas of what Swarm rolled back to.
    Scale,
}

pub(super) async fn sync(context: Arc<ProviderContext>, order: Order) -> Result<Synced, SyncError> {
    match tokio::time::timeout(SYNC_TIMEOUT, try_to_sync(&context, &order)).await {
        Ok(done) => done,
        Err(_) => Err(SyncError::Away(format!("the Docker engine did not do it within {SYNC_TIMEOUT:?}"))),
    }
}

async fn try_to_sync(context: &ProviderContext, order: &Order) -> Result<Synced, SyncError> {
    for attempt in 1..=MAX_TRIES {
        let done = match &order.wanted {
            Some(wanted) => set(context, order, wanted).await,
            None => remove(context, &order.name).await,
        };
        if !matches!(done, Err(SyncError::OutOfSequence)) {
            return done;
        }
        tokio::time::sleep(BACKOFF.after(attempt).mul_f64(fastrand::f64())).await;
    }
    Err(SyncError::OutOfSequence)
}

async fn set(context: &ProviderContext, order: &Order, wanted: &DesiredState) -> Result<Synced, SyncError> {
    let (mut desired, credentials) = describe(context, &order.name, wanted).await?;
    let fingerprint = spec::fingerprint_in(&desired);
    let found = context.engine.service(order.name.as_str()).await?;
    let seen = match &found {
        Some(found) => {
            let state = service_state(found, &context.registry).ok_or_else(|| foreign(&order.name, found))?;
            Some(state.1)
        }
        None => None,
    };
    let step = decide(seen.as_ref(), &fingerprint, wanted, order.applied.as_deref());
    let (id, version) = seen.as_ref().map_or(("", 0), |seen| (seen.id.as_str(), seen.version));
    if step != Step::Nothing {
        context.check_leadership().map_err(|_| SyncError::LeadershipLost)?;
        info!(function = %order.name, replicas = wanted.replicas, ?step, "the service is changed");
    }
    desired.mode = Some(spec::replicated(wanted.replicas));
    match step {
        Step::Nothing => {}
        Step::Create => context.engine.create_service(desired, credentials).await?,
        Step::Update(force_update) => {
            if let Some(template) = &mut desired.task_template {
                template.force_update = Some(force_update);
            }
            context.engine.update_service(id, version, desired, credentials).await?;
        }
        Step::Scale => {
            let former = found.and_then(|found| found.spec).unwrap_or_default();
            let former = ServiceSpec { mode: desired.mode, ..former };
            context.engine.update_service(id, version, former, None).await?;
        }
    }
    Ok(Synced::Set { fingerprint, seen: version })
}

/// The desired service of a function, without its number of replicas, and the credentials to pull its image.
pub(super) async fn describe(
    context: &ProviderContext,
    name: &FunctionName,
    wanted: &DesiredState,
) -> Result<(ServiceSpec, Option<DockerCredentials>), SyncError> {
    let deployment = &wanted.deployment;
    let refused = |reason: String| SyncError::Refused(format!("function {name}: {reason}"));
    if deployment.image.is_empty() {
        return Err(refused("there is no image: a Swarm runs images; set image".to_owned()));
    }
    let credentials = match context.images.as_ref().filter(|own| ImageStore::is_of(&own.address, &deployment.image)) {
        Some(own) => Some(credentials::of_login(&own.login, &own.address)),
        None => credentials::read(&wanted.registry_auth, &deployment.image).map_err(refused)?,
    };
    let network = context.network(&deployment.network).await?.map_err(refused)?;
    let secrets = match deployment.secrets.as_slice() {
        [] => Vec::new(),
        names => {
            context.secrets().await?.of_function(names, name.namespace().unwrap_or_default()).map_err(|missing| {
                refused(format!("secret {missing} not found: create it first with skep secret set {missing}"))
            })?
        }
    };
    let surroundings = Surroundings {
        network: &network,
        secrets: &secrets,
        registry: &context.registry,
        hardening: &context.hardening,
        namespace: context.namespace.of(name),
        default_timeout: context.default_timeout,
        collector: context.collector.as_deref(),
    };
    Ok((spec::service(name, deployment, &surroundings).map_err(refused)?, credentials))
}

async fn remove(context: &ProviderContext, name: &FunctionName) -> Result<Synced, SyncError> {
    let Some(found) = context.engine.service(name.as_str()).await? else { return Ok(Synced::Gone) };
    // A service of that name that is not skep's stays.
    let Some((_, seen)) = service_state(&found, &context.registry) else { return Ok(Synced::Gone) };
    context.check_leadership().map_err(|_| SyncError::LeadershipLost)?;
    info!(function = %name, "the service is removed");
    context.engine.remove_service(&seen.id).await?;
    Ok(Synced::Gone)
}

fn decide(seen: Option<&ServiceState>, fingerprint: &str, wanted: &DesiredState, applied: Option<&str>) -> Step {
    let Some(seen) = seen else { return Step::Create };
    let force_update = seen.generation.force_update;
    let is_same = seen.generation.fingerprint == fingerprint;
    let was_taken_back = !is_same && seen.is_rolled_back && applied == Some(fingerprint);
    match wanted.renew {
        Renew::Yes => Step::Update(force_update + 1),
        Renew::No if was_taken_back && seen.replicas == wanted.replicas => Step::Nothing,
        Renew::No if was_taken_back => Step::Scale,
        Renew::No if is_same && seen.replicas == wanted.replicas => Step::Nothing,
        Renew::No => Step::Update(force_update),
    }
}

fn foreign(name: &FunctionName, found: &Service) -> SyncError {
    let labels = found.spec.as_ref().and_then(|spec| spec.labels.as_ref());
    let whose = if labels.is_some_and(|labels| labels.contains_key(REGISTRY)) {
        "of another skep, or of this one before its NATS was emptied"
    } else {
        "that is not skep's"
    };
    SyncError::Refused(format!(
        "function {name}: the Swarm has a service {0} {whose}; \
         remove it (docker service rm {0}) or choose another name",
        name.as_str()
    ))
}

#[cfg(test)]
mod tests {
    use super::{super::task::Generation, *};

    fn check(seen: Option<(&str, u64, bool)>, replicas: u64, renew: Renew, applied: Option<&str>) -> Step {
        let seen = seen.map(|(fingerprint, replicas, is_rolled_back)| ServiceState {
            generation: Generation { fingerprint: fingerprint.to_owned(), force_update: 4 },
            replicas,
            is_rolled_back,
            ..ServiceState::default()
        });
        let wanted = DesiredState { deployment: Arc::default(), replicas, registry_auth: String::new(), renew };
        decide(seen.as_ref(), "new", &wanted, applied)
    }

    #[test]
    fn a_service_is_written_only_if_something_differs() {
        assert_eq!(check(None, 1, Renew::No, None), Step::Create);
        assert_eq!(check(Some(("new", 1, false)), 1, Renew::No, None), Step::Nothing);
        assert_eq!(check(Some(("new", 1, false)), 3, Renew::No, None), Step::Update(4));
        assert_eq!(check(Some(("old", 1, false)), 1, Renew::No, None), Step::Update(4));
        assert_eq!(check(Some(("new", 1, false)), 1, Renew::Yes, None), Step::Update(5));
    }

    #[test]
    fn what_swarm_took_back_is_not_tried_again_until_someone_asks() {
        let taken_back = Some(("old", 1, true));
        assert_eq!(check(taken_back, 1, Renew::No, Some("new")), Step::Nothing);
        assert_eq!(check(taken_back, 2, Renew::No, Some("new")), Step::Scale);
        assert_eq!(check(taken_back, 1, Renew::Yes, Some("new")), Step::Update(5));
        assert_eq!(check(taken_back, 1, Renew::No, None), Step::Update(4));
        assert_eq!(check(Some(("new", 1, true)), 1, Renew::No, Some("new")), Step::Nothing);
    }
}
