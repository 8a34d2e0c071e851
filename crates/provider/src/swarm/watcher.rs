//! Looks at services and tasks, often while replicas are on their way and now and then otherwise, and clears up what is nobody's.

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
    Place,
    board::ServiceSight,
    engine::Result,
    labels,
    secrets::SecretVersions,
    task::{Generation, by_function},
};

/// Between the end of a look and the next one, however much happens.
const SHORTEST: Duration = Duration::from_millis(15);
/// Between two looks while replicas are expected any moment, if the engine tells of nothing before.
const SOON: Duration = Duration::from_millis(100);
/// Between two looks at replicas that do not come.
const SLOWLY: Duration = Duration::from_millis(700);
/// Between two looks at everything while all is well and the engine tells of no change.
const LATER: Duration = Duration::from_secs(2);
/// So many functions on their way are asked for one by one.
const FEW: usize = 8;
/// Between two attempts to listen to the engine's events.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Watcher {
    place: Arc<Place>,
    /// All functions of the registry are on the board, so what is not is nobody's.
    pub(super) is_complete: AtomicBool,
    /// A secret may have values that are of no use any more.
    pub(super) stale_secrets: AtomicBool,
}

impl Watcher {
    pub(super) fn new(place: Arc<Place>) -> Self {
        Self { place, is_complete: AtomicBool::new(false), stale_secrets: AtomicBool::new(true) }
    }

    /// Looks until it is told to end.
    pub(super) async fn run(&self, ending: CancellationToken) {
        tokio::select! {
            () = ending.cancelled() => {}
            () = self.look_again_and_again() => {}
            () = self.listen() => {}
        }
    }

    async fn look_again_and_again(&self) {
        let board = &self.place.board;
        let (mut everything, mut last_full, mut is_away) = (true, Instant::now(), false);
        loop {
            let begun = Instant::now();
            if everything {
                last_full = begun;
            }
            let looked = self.look(everything).await;
            match &looked {
                Ok(()) if is_away => info!("the Docker engine answers again"),
                Err(error) if !is_away => warn!(%error, "the Docker engine shows nothing; the last state is kept"),
                Ok(()) | Err(_) => {}
            }
            is_away = looked.is_err();
            // At most half of the time is spent with looking.
            tokio::time::sleep(SHORTEST.max(begun.elapsed())).await;
            let is_moving = !board.moving().is_empty();
            let next = match is_moving {
                _ if is_away => Instant::now() + LATER,
                true if board.is_fresh() => begun + SOON,
                true => begun + SLOWLY,
                false => last_full + LATER,
            };
            let asked = tokio::time::timeout_at(next, board.asked()).await.is_ok();
            everything = (asked && !is_moving) || last_full.elapsed() >= LATER;
        }
    }

    async fn look(&self, everything: bool) -> Result<()> {
        let Place { engine, board, .. } = &*self.place;
        let label = self.place.registry_label();
        let moving = board.moving();
        if everything || moving.len() > FEW {
            let services = engine.services(&label).await?;
            let cleared = self.clear_up(&services, !board.is_fresh()).await;
            let sights = services.iter().filter_map(|service| sight_of(service, &self.place.registry)).collect();
            board.show_all(sights, engine.wanted_tasks(&label).await?);
            cleared?;
        }
        if moving.len() > FEW {
            let mut of_function = by_function(engine.all_tasks(("label", &label)).await?);
            for name in moving {
                board.show_tasks(&name, of_function.remove(name.as_str()).unwrap_or_default());
            }
            return Ok(());
        }
        for name in moving {
            let service = engine.service(name.as_str()).await?;
            let sight = service.as_ref().and_then(|service| sight_of(service, &self.place.registry));
            board.show_service(&name, sight.map(|(_, sight)| sight));
            match engine.all_tasks(("service", name.as_str())).await {
                Err(error) if error.is_missing() => board.show_tasks(&name, Vec::new()),
                tasks => board.show_tasks(&name, tasks?),
            }
        }
        Ok(())
    }

    /// Removes services that no function of the registry has, as when a controller was killed while it deleted one,
    /// and values of secrets that were replaced.
    async fn clear_up(&self, services: &[Service], is_quiet: bool) -> Result<()> {
        let Place { engine, board, .. } = &*self.place;
        if !self.is_complete.load(Ordering::Acquire) || !self.place.may_write() {
            return Ok(());
        }
        for service in services {
            let (Some(id), Some(name)) = (&service.id, function_of(service)) else { continue };
            if !board.has(name) {
                warn!(service = name, "a service that the registry knows nothing of is removed");
                engine.remove_service(id).await?;
            }
        }
        if is_quiet && self.stale_secrets.swap(false, Ordering::AcqRel) {
            let versions = SecretVersions::read(engine, &self.place.registry).await?;
            for secret in versions.outdated() {
                // One that is still in use is tried again later.
                if engine.remove_secret(&secret.id).await.is_err() {
                    self.stale_secrets.store(true, Ordering::Release);
                }
            }
        }
        Ok(())
    }

    async fn listen(&self) {
        loop {
            let mut events = std::pin::pin!(self.place.engine.events());
            // Something may have happened before.
            self.place.board.look();
            while let Some(Ok(event)) = events.next().await {
                if self.concerns_us(&event) {
                    self.place.board.look();
                }
            }
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    }

    fn concerns_us(&self, event: &EventMessage) -> bool {
        if event.typ != Some(EventMessageTypeEnum::CONTAINER) {
            return true;
        }
        let attributes = event.actor.as_ref().and_then(|actor| actor.attributes.as_ref());
        let registry = attributes.and_then(|attributes| attributes.get(labels::REGISTRY));
        let is_check = event.action.as_ref().is_some_and(|action| action.starts_with("exec"));
        registry == Some(&self.place.registry) && !is_check
    }
}

fn function_of(service: &Service) -> Option<&str> {
    service.spec.as_ref()?.labels.as_ref()?.get(labels::FUNCTION).map(String::as_str)
}

/// What is of interest of a service, by its function, if it is of this registry.
pub(super) fn sight_of(service: &Service, registry: &str) -> Option<(String, ServiceSight)> {
    let spec = service.spec.as_ref()?;
    spec.labels.as_ref()?.get(labels::REGISTRY).filter(|label| *label == registry)?;
    let template = spec.task_template.as_ref()?;
    let fingerprint = spec.labels.as_ref()?.get(labels::FINGERPRINT)?.clone();
    let network = template.networks.as_ref().and_then(|networks| networks.first()?.target.clone());
    let replicas = spec.mode.as_ref().and_then(|mode| mode.replicated.as_ref()?.replicas);
    let update = service.update_status.as_ref().and_then(|status| status.state);
    let sight = ServiceSight {
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
    Some((function_of(service)?.to_owned(), sight))
}
