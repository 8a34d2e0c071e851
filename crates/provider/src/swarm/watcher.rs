//! Polls services and tasks, often while replicas change and rarely otherwise, and removes services that belong to no function.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bollard::models::{EventMessage, EventMessageTypeEnum, Service, ServiceUpdateStatusStateEnum};
use futures_util::StreamExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    ProviderContext,
    cluster_view::ServiceState,
    engine::Result,
    labels,
    secrets::SecretVersions,
    task::{Generation, by_function},
};

/// The shortest time between two polls, however much happens.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(15);
/// Between two polls while replicas are expected at any moment, unless the engine reports a change earlier.
const FAST_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Between two polls of replicas that do not start.
const SLOW_POLL_INTERVAL: Duration = Duration::from_millis(700);
/// Between two polls of everything while all is well and the engine reports no change.
const IDLE_POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Up to this many changing functions are polled one by one.
const MAX_POLLED_ALONE: usize = 8;
/// Between two attempts to listen to the engine's events.
const LISTEN_RETRY_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Watcher {
    context: Arc<ProviderContext>,
    /// The cluster view has all functions of the registry, so any other service belongs to none.
    pub(super) is_complete: AtomicBool,
    /// A secret may have values that are no longer used.
    pub(super) stale_secrets: AtomicBool,
}

impl Watcher {
    pub(super) fn new(context: Arc<ProviderContext>) -> Self {
        Self { context, is_complete: AtomicBool::new(false), stale_secrets: AtomicBool::new(true) }
    }

    /// Polls until it is stopped.
    pub(super) async fn run(&self, ending: CancellationToken) {
        tokio::select! {
            () = ending.cancelled() => {}
            () = self.poll_loop() => {}
            () = self.listen() => {}
        }
    }

    async fn poll_loop(&self) {
        let cluster = &self.context.cluster;
        let (mut everything, mut last_full, mut is_away) = (true, Instant::now(), false);
        loop {
            let begun = Instant::now();
            if everything {
                last_full = begun;
            }
            let checked = self.check(everything).await;
            match &checked {
                Ok(()) if is_away => info!("the Docker engine answers again"),
                Err(error) if !is_away => warn!(%error, "the Docker engine does not answer; the last state is kept"),
                Ok(()) | Err(_) => {}
            }
            is_away = checked.is_err();
            // Polling takes at most half of the time.
            tokio::time::sleep(MIN_POLL_INTERVAL.max(begun.elapsed())).await;
            let is_converging = !cluster.converging().is_empty();
            let next = match is_converging {
                _ if is_away => Instant::now() + IDLE_POLL_INTERVAL,
                true if cluster.is_fresh() => begun + FAST_POLL_INTERVAL,
                true => begun + SLOW_POLL_INTERVAL,
                false => last_full + IDLE_POLL_INTERVAL,
            };
            let asked = tokio::time::timeout_at(next, cluster.asked()).await.is_ok();
            everything = (asked && !is_converging) || last_full.elapsed() >= IDLE_POLL_INTERVAL;
        }
    }

    async fn check(&self, everything: bool) -> Result<()> {
        let ProviderContext { engine, cluster, .. } = &*self.context;
        let label = self.context.registry_label();
        let converging = cluster.converging();
        if everything || converging.len() > MAX_POLLED_ALONE {
            let services = engine.services(&label).await?;
            let cleared = self.clear_up(&services, !cluster.is_fresh()).await;
            let states = services.iter().filter_map(|service| service_state(service, &self.context.registry)).collect();
            cluster.show_all(states, engine.wanted_tasks(&label).await?);
            cleared?;
        }
        if converging.len() > MAX_POLLED_ALONE {
            let mut of_function = by_function(engine.all_tasks(("label", &label)).await?);
            for name in converging {
                cluster.show_tasks(&name, of_function.remove(name.as_str()).unwrap_or_default());
            }
            return Ok(());
        }
        for name in converging {
            let service = engine.service(name.as_str()).await?;
            let state = service.as_ref().and_then(|service| service_state(service, &self.context.registry));
            cluster.show_service(&name, state.map(|(_, state)| state));
            match engine.all_tasks(("service", name.as_str())).await {
                Err(error) if error.is_missing() => cluster.show_tasks(&name, Vec::new()),
                tasks => cluster.show_tasks(&name, tasks?),
            }
        }
        Ok(())
    }

    /// Removes services that belong to no function of the registry, such as after a controller was killed during a deletion,
    /// and values of secrets that were replaced.
    async fn clear_up(&self, services: &[Service], is_quiet: bool) -> Result<()> {
        let ProviderContext { engine, cluster, .. } = &*self.context;
        if !self.is_complete.load(Ordering::Acquire) || !self.context.may_write() {
            return Ok(());
        }
        for service in services {
            let (Some(id), Some(name)) = (&service.id, function_of(service)) else { continue };
            if !cluster.has(name) {
                warn!(service = name, "a service that is not in the registry is removed");
                engine.remove_service(id).await?;
            }
        }
        if is_quiet && self.stale_secrets.swap(false, Ordering::AcqRel) {
            let versions = SecretVersions::read(engine, &self.context.registry).await?;
            for secret in versions.outdated() {
                // One that is still in use is removed later.
                if engine.remove_secret(&secret.id).await.is_err() {
                    self.stale_secrets.store(true, Ordering::Release);
                }
            }
        }
        Ok(())
    }

    async fn listen(&self) {
        loop {
            let mut events = std::pin::pin!(self.context.engine.events());
            // Something may have happened before the subscription.
            self.context.cluster.refresh();
            while let Some(Ok(event)) = events.next().await {
                if self.concerns_us(&event) {
                    self.context.cluster.refresh();
                }
            }
            tokio::time::sleep(LISTEN_RETRY_INTERVAL).await;
        }
    }

    fn concerns_us(&self, event: &EventMessage) -> bool {
        if event.typ != Some(EventMessageTypeEnum::CONTAINER) {
            return true;
        }
        let attributes = event.actor.as_ref().and_then(|actor| actor.attributes.as_ref());
        let registry = attributes.and_then(|attributes| attributes.get(labels::REGISTRY));
        let is_check = event.action.as_ref().is_some_and(|action| action.starts_with("exec"));
        registry == Some(&self.context.registry) && !is_check
    }
}

fn function_of(service: &Service) -> Option<&str> {
    service.spec.as_ref()?.labels.as_ref()?.get(labels::FUNCTION).map(String::as_str)
}

/// The relevant parts of a service, by its function, if it belongs to this registry.
pub(super) fn service_state(service: &Service, registry: &str) -> Option<(String, ServiceState)> {
    let spec = service.spec.as_ref()?;
    spec.labels.as_ref()?.get(labels::REGISTRY).filter(|label| *label == registry)?;
    let template = spec.task_template.as_ref()?;
    let fingerprint = spec.labels.as_ref()?.get(labels::FINGERPRINT)?.clone();
    let network = template.networks.as_ref().and_then(|networks| networks.first()?.target.clone());
    let replicas = spec.mode.as_ref().and_then(|mode| mode.replicated.as_ref()?.replicas);
    let update = service.update_status.as_ref().and_then(|status| status.state);
    let state = ServiceState {
        id: service.id.clone()?,
        version: service.version.as_ref()?.index?,
        generation: Generation { fingerprint, force_update: template.force_update.unwrap_or_default() },
        replicas: replicas.and_then(|replicas| u64::try_from(replicas).ok()).unwrap_or_default(),
        network: network.unwrap_or_default(),
        is_rolled_back: matches!(
            update,
            Some(
                ServiceUpdateStatusStateEnum::ROLLBACK_STARTED
                    | ServiceUpdateStatusStateEnum::ROLLBACK_PAUSED
                    | ServiceUpdateStatusStateEnum::ROLLBACK_COMPLETED
            )
        ),
    };
    Some((function_of(service)?.to_owned(), state))
}
