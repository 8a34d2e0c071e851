//! The sources as the gateway knows them: each is compiled when it changes, so a request only looks it up.

use std::{collections::HashMap, pin::pin, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures_util::StreamExt;
use skep_bus::{Source, SourceEvent};
use skep_protocol::SourceName;
use skep_sources::{Defaults, Receiver, Source as Declaration};
use time::OffsetDateTime;
use tokio::time::sleep;
use tracing::{info, warn};

use super::hook::Hook;
use crate::app::App;

const WATCH_AGAIN: Duration = Duration::from_millis(500);
/// How often it is looked whether the sources are still those that are watched.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Changes that are published together.
const MAX_BATCH: usize = 256;

type Known = HashMap<SourceName, Arc<Hook>>;

#[derive(Default)]
pub(super) struct Sources {
    known: ArcSwap<Known>,
}

impl Sources {
    pub(super) fn get(&self, name: &str) -> Option<Arc<Hook>> {
        // A name that is none is not there.
        let name: SourceName = name.parse().ok()?;
        self.known.load().get(&name).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Hook>> {
        self.known.load().values().cloned().collect()
    }
}

/// Follows the sources until shutdown; a watch that breaks is begun again from the whole state.
pub(super) async fn follow(app: &App) {
    loop {
        if app.shutdown.run_until_cancelled(Box::pin(follow_once(app))).await.is_none()
            || app.shutdown.run_until_cancelled(sleep(WATCH_AGAIN)).await.is_none()
        {
            return;
        }
    }
}

async fn follow_once(app: &App) {
    let (made_at, events) = match (app.bus.sources.made_at().await, app.bus.sources.watch().await) {
        (Ok(made_at), Ok(events)) => (made_at, events),
        (Err(error), _) | (_, Err(error)) => {
            return warn!(error = error.chain(), "the sources cannot be watched; their last state is kept");
        }
    };
    let mut replaced = pin!(replaced(app, made_at));
    let mut batches = pin!(events.ready_chunks(MAX_BATCH));
    let known = &app.hooks.sources.known;
    // Until all have been seen, none that is served is taken away.
    let (mut next, mut is_complete) = (Known::new(), false);
    loop {
        let batch = tokio::select! {
            batch = batches.next() => batch,
            () = &mut replaced => return warn!("the registry of sources was made anew, so it is read anew"),
        };
        let Some(batch) = batch else { return };
        for event in batch {
            match event {
                Ok(SourceEvent::Put { source, .. }) => {
                    let name = source.record.name.clone();
                    let served = known.load();
                    let hook = Hook::new(&source, app, next.get(&name).or(served.get(&name)).map(AsRef::as_ref));
                    next.insert(name, Arc::new(hook));
                }
                Ok(SourceEvent::Deleted { name, .. }) => {
                    let removed = next.remove(&name);
                    app.hooks.metrics.forget(&name, removed.iter().flat_map(|hook| hook.secret_names()));
                }
                Ok(SourceEvent::Current) => {
                    info!(sources = next.len(), "the sources are up to date");
                    is_complete = true;
                }
                Err(error) => {
                    return warn!(error = error.chain(), "the watch of the sources broke; it is begun again");
                }
            }
        }
        if is_complete {
            known.store(Arc::new(next.clone()));
        }
    }
}

/// Checks a declaration, and says what is wrong with it.
pub(crate) fn compile(source: &Source, app: &App) -> Result<Receiver, String> {
    let declared = Declaration::from_spec(&source.record.spec).map_err(|error| error.to_string())?;
    let public_url = app.hooks.public_url.as_ref();
    let defaults = Defaults { public_url, ..Defaults::new(app.bus.connection.default_namespace()) };
    Receiver::compile(source.record.name.clone(), declared, &defaults).map_err(|error| error.to_string())
}

/// Returns when the registry of sources is another one than it was: its server has lost its data.
async fn replaced(app: &App, made_at: OffsetDateTime) {
    loop {
        sleep(LOOK_EVERY).await;
        if app.bus.sources.made_at().await.is_ok_and(|now| now != made_at) {
            return;
        }
    }
}
