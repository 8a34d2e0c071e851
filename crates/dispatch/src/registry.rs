//! All functions that can be called, kept up to date from the bus and read without a lock.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures_util::StreamExt;
use skep_bus::{Bus, RegistryEvent};
use skep_protocol::{FunctionName, FunctionRecord, PolicyDefaults};
use time::OffsetDateTime;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{function::Function, metrics::Metrics};

const WATCH_AGAIN: Duration = Duration::from_millis(500);
/// How often it is looked whether the registry is still the one that is watched.
const LOOK_EVERY: Duration = Duration::from_secs(5);

type Functions = HashMap<FunctionName, Arc<Function>>;

/// A view of the registry that follows the controller; when the controller or the bus is away it keeps the last state.
#[derive(Clone)]
pub struct Registry {
    functions: Arc<ArcSwap<Functions>>,
    changed: watch::Receiver<u64>,
}

impl Registry {
    pub fn get(&self, name: &FunctionName) -> Option<Arc<Function>> {
        self.functions.load().get(name).cloned()
    }

    /// All functions, by name.
    pub fn all(&self) -> Vec<Arc<Function>> {
        let mut all: Vec<_> = self.functions.load().values().cloned().collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// Whether a replica of any function has an address like this.
    pub fn has_replica(&self, is_wanted: impl Fn(SocketAddr) -> bool) -> bool {
        let functions = self.functions.load();
        functions.values().flat_map(|function| &function.record.endpoints).any(|endpoint| is_wanted(endpoint.address))
    }

    /// The shortest time for which any function keeps its results, where one says so.
    pub fn shortest_result_ttl(&self) -> Option<Duration> {
        self.functions.load().values().filter_map(|function| function.policy.result_ttl).min()
    }

    /// Waits until the registry is as it must be; `false` if the deadline passed first.
    pub async fn wait_until(&self, mut done: impl FnMut(&Self) -> bool, deadline: Duration) -> bool {
        let mut changed = self.changed.clone();
        timeout(deadline, async {
            loop {
                changed.borrow_and_update();
                if done(self) {
                    return true;
                }
                if changed.changed().await.is_err() {
                    return false;
                }
            }
        })
        .await
        .unwrap_or(false)
    }

    /// Waits until a write of the controller, by its revision, is seen here; `false` if the deadline passed first.
    pub async fn wait_for_revision(&self, revision: u64, deadline: Duration) -> bool {
        let mut changed = self.changed.clone();
        timeout(deadline, changed.wait_for(|seen| *seen >= revision)).await.is_ok_and(|seen| seen.is_ok())
    }

    /// A channel that tells of each change; its value is the last revision.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }
}

/// Follows the bus and writes what a [`Registry`] shows.
pub(crate) struct Follower {
    bus: Bus,
    metrics: Arc<Metrics>,
    defaults: PolicyDefaults,
    functions: Arc<ArcSwap<Functions>>,
    changed: watch::Sender<u64>,
}

impl Follower {
    pub(crate) fn new(bus: Bus, metrics: Arc<Metrics>, defaults: PolicyDefaults) -> (Self, Registry) {
        let (sender, receiver) = watch::channel(0);
        let functions = Arc::new(ArcSwap::default());
        let registry = Registry { functions: Arc::clone(&functions), changed: receiver };
        (Self { bus, metrics, defaults, functions, changed: sender }, registry)
    }

    /// Follows for ever; a watch that breaks is begun again from the whole state.
    pub(crate) async fn run(self, first: tokio::sync::oneshot::Sender<()>, shutdown: CancellationToken) {
        let mut first = Some(first);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.follow(&mut first) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(WATCH_AGAIN) => {}
            }
        }
    }

    /// Returns when the registry is another one than it was: its server has lost its data, and the watch would wait for revisions that never come.
    async fn replaced(&self, made_at: OffsetDateTime) {
        loop {
            sleep(LOOK_EVERY).await;
            // A server that is away tells nothing; the last state is kept.
            if self.bus.registry_made_at().await.is_ok_and(|now| now != made_at) {
                return;
            }
        }
    }

    async fn follow(&self, first: &mut Option<tokio::sync::oneshot::Sender<()>>) {
        let made_at = match self.bus.registry_made_at().await {
            Ok(made_at) => made_at,
            Err(error) => {
                warn!(%error, "the registry cannot be looked at; its last state is kept");
                return;
            }
        };
        let mut replaced = std::pin::pin!(self.replaced(made_at));
        let mut events = match self.bus.watch_functions().await {
            Ok(events) => std::pin::pin!(events),
            Err(error) => {
                warn!(%error, "the registry cannot be watched; its last state is kept");
                return;
            }
        };
        // Until everything has been seen, changes are gathered and nothing that is served is taken away.
        let mut gathered = Some((Functions::new(), 0));
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = &mut replaced => return warn!("the registry was made anew, so it is read anew"),
            };
            let Some(event) = event else { return };
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    warn!(%error, "the watch of the registry broke; it is begun again");
                    return;
                }
            };
            match (event, &mut gathered) {
                (RegistryEvent::Put { name, record, revision }, Some((functions, seen))) => {
                    functions.insert(name.clone(), self.function(name, *record));
                    *seen = revision;
                }
                (RegistryEvent::Deleted { revision, .. }, Some((_, seen))) => *seen = revision,
                (RegistryEvent::Current, Some(_)) => {
                    if let Some((functions, revision)) = gathered.take() {
                        info!(functions = functions.len(), "the registry is up to date");
                        self.publish(functions, revision);
                    }
                    if let Some(first) = first.take() {
                        // Whoever started us may have given up waiting.
                        let _ = first.send(());
                    }
                }
                (RegistryEvent::Put { name, record, revision }, None) => {
                    let mut functions = Functions::clone(&self.functions.load());
                    functions.insert(name.clone(), self.function(name, *record));
                    self.publish(functions, revision);
                }
                (RegistryEvent::Deleted { name, revision }, None) => {
                    let mut functions = Functions::clone(&self.functions.load());
                    functions.remove(&name);
                    self.publish(functions, revision);
                }
                (RegistryEvent::Current, None) => {}
            }
        }
    }

    fn function(&self, name: FunctionName, record: FunctionRecord) -> Arc<Function> {
        let known = self.functions.load().get(&name).cloned();
        let (endpoints, metrics, usage) = match &known {
            Some(known) => (known.endpoints.as_slice(), Arc::clone(&known.metrics), Arc::clone(&known.usage)),
            None => (&[][..], Arc::new(self.metrics.of_function(&name)), Arc::default()),
        };
        Arc::new(Function::new(name, record, &self.defaults, endpoints, metrics, usage))
    }

    fn publish(&self, functions: Functions, revision: u64) {
        self.functions
            .load()
            .keys()
            .filter(|name| !functions.contains_key(*name))
            .for_each(|name| self.metrics.forget(name));
        self.functions.store(Arc::new(functions));
        self.changed.send_replace(revision);
    }
}
