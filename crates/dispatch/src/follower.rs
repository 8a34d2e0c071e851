//! Follows the registry on the bus, and publishes what a [`Registry`] shows.
//!
//! A publication replaces the whole set of functions, and costs about the same however many of them have changed.
//! Therefore all changes that have arrived are published together: a single change is published at once, and ten thousand take a few dozen publications.
//!
//! A persistent map would make a publication cheap, but each one would still wake every waiter.
//! It would also slow down the lookup of every call, and the maintained ones have a license that skep does not accept.

use std::{mem, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures_util::{Stream, StreamExt};
use skep_bus::RegistryEvent;
use skep_protocol::{FunctionName, PolicyDefaults};
use time::OffsetDateTime;
use tokio::{
    sync::{oneshot, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{function::Function, functions::Functions, metrics::Metrics, registry::Registry};

const WATCH_RETRY_DELAY: Duration = Duration::from_millis(500);
/// How often to check that the registry is still the one that is watched.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Changes in one publication.
const MAX_BATCH: usize = 1024;

type Event = skep_bus::Result<RegistryEvent>;

pub(crate) struct Follower {
    functions: skep_bus::Registry,
    view: View,
}

impl Follower {
    pub(crate) fn new(
        functions: skep_bus::Registry,
        metrics: Arc<Metrics>,
        defaults: PolicyDefaults,
    ) -> (Self, Registry) {
        let (view, registry) = View::new(metrics, defaults);
        (Self { functions, view }, registry)
    }

    /// Follows for ever; a watch that breaks is begun again from the whole state.
    pub(crate) async fn run(self, first: oneshot::Sender<()>, shutdown: CancellationToken) {
        let mut first = Some(first);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.follow(&mut first) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(WATCH_RETRY_DELAY) => {}
            }
        }
    }

    /// Returns when the registry is another one than it was: its server has lost its data, and the watch would wait for revisions that never come.
    async fn replaced(&self, made_at: OffsetDateTime) {
        loop {
            sleep(CHECK_INTERVAL).await;
            // A server that is away sends nothing; the last state is kept.
            if self.functions.made_at().await.is_ok_and(|now| now != made_at) {
                return;
            }
        }
    }

    async fn follow(&self, first: &mut Option<oneshot::Sender<()>>) {
        let made_at = match self.functions.made_at().await {
            Ok(made_at) => made_at,
            Err(error) => {
                warn!(%error, "the registry cannot be checked; its last state is kept");
                return;
            }
        };
        let mut replaced = std::pin::pin!(self.replaced(made_at));
        let mut batches = match self.functions.watch().await {
            Ok(events) => std::pin::pin!(batches(events)),
            Err(error) => {
                warn!(%error, "the registry cannot be watched; its last state is kept");
                return;
            }
        };
        let mut progress = Progress::default();
        loop {
            let batch = tokio::select! {
                batch = batches.next() => batch,
                () = &mut replaced => return warn!("the registry was recreated; reading it again"),
            };
            let Some(batch) = batch else { return };
            let applied = self.view.apply(batch, &mut progress);
            if progress.is_complete
                && let Some(first) = first.take()
            {
                // The starter may have given up waiting.
                let _ = first.send(());
            }
            if let Err(error) = applied {
                return warn!(%error, "the watch of the registry broke; starting it again");
            }
        }
    }
}

/// All changes that are there by now, together.
fn batches(events: impl Stream<Item = Event>) -> impl Stream<Item = Vec<Event>> {
    events.ready_chunks(MAX_BATCH)
}

/// How far one watch has come. Until it has seen everything, nothing that is served is taken away.
#[derive(Default)]
struct Progress {
    gathered: Functions,
    /// The last revision of this watch; a recreated registry begins at 0 again.
    seen: u64,
    is_complete: bool,
}

/// What is published, and what it is made with.
struct View {
    metrics: Arc<Metrics>,
    defaults: PolicyDefaults,
    functions: Arc<ArcSwap<Functions>>,
    changed: watch::Sender<u64>,
}

impl View {
    fn new(metrics: Arc<Metrics>, defaults: PolicyDefaults) -> (Self, Registry) {
        let (changed, receiver) = watch::channel(0);
        let functions = Arc::new(ArcSwap::default());
        let registry = Registry { functions: Arc::clone(&functions), changed: receiver };
        (Self { metrics, defaults, functions, changed }, registry)
    }

    /// Publishes a batch; the changes before an error still count.
    fn apply(&self, batch: Vec<Event>, progress: &mut Progress) -> skep_bus::Result<()> {
        let published = self.functions.load_full();
        let mut next =
            if progress.is_complete { Functions::clone(&published) } else { mem::take(&mut progress.gathered) };
        let (mut removed, mut end) = (Vec::new(), Ok(()));
        for event in batch {
            match event {
                Ok(RegistryEvent::Put { name, record, revision }) => {
                    let served = if progress.is_complete { None } else { published.get(&name) };
                    let known = next.get(&name).or(served).map(AsRef::as_ref);
                    let function = Function::new(name, *record, &self.defaults, &self.metrics, known);
                    next.put(Arc::new(function));
                    progress.seen = revision;
                }
                Ok(RegistryEvent::Deleted { name, revision }) => {
                    next.remove(&name);
                    removed.push(name);
                    progress.seen = revision;
                }
                Ok(RegistryEvent::Current) if !progress.is_complete => {
                    info!(functions = next.len(), "the registry is up to date");
                    progress.is_complete = true;
                    removed.extend(published.iter().map(|function| function.name.clone()));
                }
                Ok(RegistryEvent::Current) => {}
                Err(error) => {
                    end = Err(error);
                    break;
                }
            }
        }
        if progress.is_complete {
            let is_gone = |name: &&FunctionName| published.contains(name) && !next.contains(name);
            removed.iter().filter(is_gone).for_each(|name| self.metrics.forget(name));
            self.functions.store(Arc::new(next));
            self.changed.send_replace(progress.seen);
        } else {
            progress.gathered = next;
        }
        end
    }
}

#[cfg(test)]
#[path = "follower/tests.rs"]
mod tests;
