//! The sources as a role knows them: each is read when it changes, so that a request only looks it up.

use std::{collections::HashMap, pin::pin, sync::Arc, time::Duration};

use futures_util::StreamExt;
use skep_protocol::SourceName;
use time::OffsetDateTime;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Source, SourceEvent};
use crate::Sources;

const WATCH_AGAIN: Duration = Duration::from_millis(500);
/// How often it is checked whether the bucket of sources is still the one that is watched.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Changes that are published together.
const MAX_BATCH: usize = 256;

type Known<T> = HashMap<SourceName, Arc<T>>;

/// The sources of this moment, each as a `T`.
#[derive(Debug)]
pub struct SourcesView<T> {
    known: watch::Sender<Arc<Known<T>>>,
    /// Whether all sources have been seen once.
    is_complete: watch::Sender<bool>,
}

/// What a role makes of a source.
pub trait FromSource: Sized {
    /// What every source is made with.
    type Context: ?Sized;

    /// Makes it anew; `before` is what was known of it.
    fn from_source(source: &Source, context: &Self::Context, before: Option<&Self>) -> Self;

    /// The source is gone.
    fn forget(_name: &SourceName, _context: &Self::Context) {}
}

impl<T> Default for SourcesView<T> {
    fn default() -> Self {
        Self { known: watch::Sender::default(), is_complete: watch::Sender::default() }
    }
}

impl<T: FromSource> SourcesView<T> {
    pub fn get(&self, name: &str) -> Option<Arc<T>> {
        // A name that is none is not there.
        let name: SourceName = name.parse().ok()?;
        self.known.borrow().get(&name).cloned()
    }

    pub fn all(&self) -> Vec<Arc<T>> {
        self.known.borrow().values().cloned().collect()
    }

    /// The sources now, and whenever they change.
    pub fn changes(&self) -> watch::Receiver<Arc<HashMap<SourceName, Arc<T>>>> {
        self.known.subscribe()
    }

    /// Whether all sources have been seen once.
    pub fn is_complete(&self) -> bool {
        *self.is_complete.borrow()
    }

    /// Returns once all sources are known.
    pub async fn complete(&self) {
        // The sender lives as long as the view.
        let _ = self.is_complete.subscribe().wait_for(|is_complete| *is_complete).await;
    }

    /// Follows the sources until shutdown; a watch that breaks is begun again from the whole state.
    pub async fn follow(&self, sources: &Sources, context: &T::Context, shutdown: &CancellationToken) {
        loop {
            if shutdown.run_until_cancelled(Box::pin(self.follow_once(sources, context))).await.is_none()
                || shutdown.run_until_cancelled(sleep(WATCH_AGAIN)).await.is_none()
            {
                return;
            }
        }
    }

    async fn follow_once(&self, sources: &Sources, context: &T::Context) {
        let (made_at, events) = match (sources.made_at().await, sources.watch().await) {
            (Ok(made_at), Ok(events)) => (made_at, events),
            (Err(error), _) | (_, Err(error)) => {
                return warn!(error = error.chain(), "the sources cannot be watched; their last state is kept");
            }
        };
        let mut replaced = pin!(replaced(sources, made_at));
        let mut batches = pin!(events.ready_chunks(MAX_BATCH));
        // Until all have been seen, none that is known is taken away.
        let (mut next, mut is_complete) = (Known::new(), false);
        loop {
            let batch = tokio::select! {
                batch = batches.next() => batch,
                () = &mut replaced => return warn!("the bucket of sources was made anew, so it is read anew"),
            };
            let Some(batch) = batch else { return };
            for event in batch {
                match event {
                    Ok(SourceEvent::Put { source, .. }) => {
                        let name = source.record.name.clone();
                        let known = Arc::clone(&self.known.borrow());
                        // One that was deleted and made again is another source.
                        let before = next.get(&name).or_else(|| known.get(&name).filter(|_| !is_complete));
                        let made = T::from_source(&source, context, before.map(AsRef::as_ref));
                        next.insert(name, Arc::new(made));
                    }
                    Ok(SourceEvent::Deleted { name, .. }) => {
                        next.remove(&name);
                        T::forget(&name, context);
                    }
                    Ok(SourceEvent::Current) => {
                        debug!(sources = next.len(), "the sources are up to date");
                        is_complete = true;
                    }
                    Err(error) => {
                        return warn!(error = error.chain(), "the watch of the sources broke; it is begun again");
                    }
                }
            }
            if is_complete {
                self.known.send_replace(Arc::new(next.clone()));
                self.is_complete.send_replace(true);
            }
        }
    }
}

/// Returns when the bucket of sources is another one than it was: its server has lost its data.
async fn replaced(sources: &Sources, made_at: OffsetDateTime) {
    loop {
        sleep(CHECK_INTERVAL).await;
        if sources.made_at().await.is_ok_and(|now| now != made_at) {
            return;
        }
    }
}
