//! Messages of NATS and MQTT that are events of sources: each is stored as an event, and what is acknowledged is stored.
//!
//! Every queue-worker listens for every source; a message goes to one of them.

mod accept;
mod source;
mod standing;
mod stream;
mod subjects;

use std::{collections::HashMap, sync::Arc, time::Duration};

use skep_bus::{SourcesView, TopicStream};
use skep_protocol::SourceName;
use skep_sources::SealKey;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info};

use self::source::{Listens, TopicSource};
use crate::Worker;

/// Messages of one source whose events are being stored.
const WINDOW: usize = 256;
const FORGET_TIMEOUT: Duration = Duration::from_secs(10);

/// The sources of messages as the worker knows them.
pub(crate) struct Topics {
    sources: SourcesView<TopicSource>,
    seal_key: Option<Arc<SealKey>>,
}

impl Topics {
    pub(crate) fn new(seal_key: Option<Arc<SealKey>>) -> Self {
        Self { sources: SourcesView::default(), seal_key }
    }
}

/// A source that is listened for.
struct Running {
    listens: Listens,
    /// Its stream, if it reads one of others.
    stream: Option<Arc<TopicStream>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Listens for all sources until shutdown.
pub(crate) async fn run(worker: Arc<Worker>, tasks: TaskTracker) {
    let follow = worker.topics.sources.follow(&worker.bus.sources, &*worker, &worker.shutdown);
    tokio::join!(follow, listen(&worker, &tasks));
}

async fn listen(worker: &Arc<Worker>, tasks: &TaskTracker) {
    let mut running: HashMap<SourceName, Running> = HashMap::new();
    let mut changes = worker.topics.sources.changes();
    loop {
        let known = Arc::clone(&changes.borrow_and_update());
        let is_as_wanted = |name: &SourceName, running: &Running| {
            known.get(name).is_some_and(|source| source.listens.as_ref() == Some(&running.listens))
        };
        let ended: Vec<SourceName> = running
            .iter()
            .filter(|(name, running)| !is_as_wanted(name, running))
            .map(|(name, _)| name.clone())
            .collect();
        let mut before = HashMap::new();
        for name in ended {
            let Some(old) = running.remove(&name) else { continue };
            let now = known.get(&name);
            let is_gone = now.is_none_or(|now| now.is_elsewhere(&old.listens));
            before.insert(name, tasks.spawn(end(Arc::clone(worker), old, is_gone)));
        }
        for (name, source) in &*known {
            if let (Some(listens), false) = (&source.listens, running.contains_key(name)) {
                running.insert(name.clone(), begin(worker, tasks, name, listens, before.remove(name)));
            }
        }
        tokio::select! {
            () = worker.shutdown.cancelled() => return,
            // Its sender lives as long as the worker does.
            _ = changes.changed() => {}
        }
    }
}

/// Begins to listen when the listener before has ended.
fn begin(
    worker: &Arc<Worker>,
    tasks: &TaskTracker,
    name: &SourceName,
    listens: &Listens,
    before: Option<JoinHandle<()>>,
) -> Running {
    let stop = worker.shutdown.child_token();
    let (stream, subjects) = listens.of(name, &worker.bus.topics);
    let (stream, of_stream) = (stream.clone(), stream);
    let (worker, name, token, all) = (Arc::clone(worker), name.clone(), stop.clone(), tasks.clone());
    let listens_to = listens.clone();
    let task = tasks.spawn(async move {
        if let Some(before) = before {
            // It does not panic, and if it did it has ended.
            let _ = before.await;
        }
        debug!(source = %name, "begins to listen for a source");
        match (of_stream, subjects) {
            (Some(stream), _) => stream::listen(&worker, &name, &stream, &token, &all).await,
            (None, Some(subjects)) => subjects::listen(&worker, &name, &subjects, &token, &all).await,
            (None, None) => standing::tell_problem(&worker, &name, listens_to.problem(), &token).await,
        }
    });
    Running { listens: listens.clone(), stream, stop, task }
}

/// Ends a listener; the consumer of a source that is gone goes, too.
async fn end(worker: Arc<Worker>, old: Running, is_gone: bool) {
    old.stop.cancel();
    // As above.
    let _ = old.task.await;
    if let (true, Some(stream)) = (is_gone, old.stream.filter(|stream| !stream.is_captured)) {
        info!(source = %stream.source, stream = stream.stream, "a source reads this stream no more");
        match timeout(FORGET_TIMEOUT, worker.bus.topics.forget(&stream)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(error = error.chain(), "the consumer of a source stays"),
            Err(_) => debug!("the consumer of a source stays, for the server does not answer"),
        }
    }
}
