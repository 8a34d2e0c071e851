//! Messages of NATS and MQTT that are events of sources: each is stored as an event, and what is acknowledged is stored.
//!
//! Every queue-worker listens for every source; a message goes to one of them.

mod accept;
mod left;
mod source;
mod source_state;
mod stream;
mod subjects;

use std::{collections::HashMap, sync::Arc};

use skep_bus::{SourcesView, TopicStream};
use skep_protocol::SourceName;
use skep_sources::SealKey;
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info};

use self::source::{Listens, TopicSource};
use crate::Worker;

/// Messages of one source whose events are being stored.
const WINDOW: usize = 256;

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
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A stream of others on which a source has a consumer.
struct Read {
    listens: Listens,
    stream: Arc<TopicStream>,
}

/// Listens for all sources until shutdown.
pub(crate) async fn run(worker: Arc<Worker>, tasks: TaskTracker) {
    let follow = worker.topics.sources.follow(&worker.bus.sources, &*worker, &worker.shutdown);
    let remove_left = worker.shutdown.run_until_cancelled(left::remove(&worker));
    tokio::join!(follow, listen(&worker, &tasks), remove_left);
}

async fn listen(worker: &Arc<Worker>, tasks: &TaskTracker) {
    let mut running: HashMap<SourceName, Running> = HashMap::new();
    // Also those of sources that are disabled, or cannot log in any more.
    let mut read: HashMap<SourceName, Read> = HashMap::new();
    let mut changes = worker.topics.sources.changes();
    loop {
        let known = Arc::clone(&changes.borrow_and_update());
        let is_as_wanted = |name: &SourceName, running: &mut Running| {
            known.get(name).is_some_and(|source| source.listens.as_ref() == Some(&running.listens))
        };
        let mut before: HashMap<SourceName, JoinHandle<()>> = HashMap::new();
        for (name, old) in running.extract_if(|name, running| !is_as_wanted(name, running)) {
            old.stop.cancel();
            before.insert(name, old.task);
        }
        let is_left = |name: &SourceName, read: &mut Read| {
            known.get(name).is_none_or(|source| source.is_elsewhere(&read.listens))
        };
        for (name, left) in read.extract_if(is_left) {
            let is_same_server = known.get(&name).is_some_and(|source| source.is_on_server_of(&left.listens));
            let forgotten = tasks.spawn(forget(Arc::clone(worker), left.stream, before.remove(&name)));
            // A server that is away must not hold up what is read from another one.
            if is_same_server {
                before.insert(name, forgotten);
            }
        }
        for (name, source) in &*known {
            if let (Some(listens), false) = (&source.listens, running.contains_key(name)) {
                let (begun, stream) = begin(worker, tasks, name, listens, before.remove(name));
                running.insert(name.clone(), begun);
                // A login goes before its source does, and removes the consumer then.
                let before = read.get(name).filter(|before| before.listens.has_login() && !listens.has_login());
                if let (Some(stream), None) = (stream.filter(|stream| !stream.is_captured), before) {
                    read.insert(name.clone(), Read { listens: listens.clone(), stream });
                }
            }
        }
        tokio::select! {
            () = worker.shutdown.cancelled() => return,
            // Its sender lives as long as the worker does.
            _ = changes.changed() => {}
        }
    }
}

/// Begins to listen when the listener before has ended; returns the stream that it reads, too.
fn begin(
    worker: &Arc<Worker>,
    tasks: &TaskTracker,
    name: &SourceName,
    listens: &Listens,
    before: Option<JoinHandle<()>>,
) -> (Running, Option<Arc<TopicStream>>) {
    let stop = worker.shutdown.child_token();
    let (stream, subjects) = listens.of(name, &worker.bus.topics);
    let of_stream = stream.clone();
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
            (None, None) => source_state::report_problem(&worker, &name, listens_to.problem(), &token).await,
        }
    });
    (Running { listens: listens.clone(), stop, task }, stream)
}

/// Removes the consumer of a source that is gone, when its listener has ended.
async fn forget(worker: Arc<Worker>, stream: Arc<TopicStream>, listener: Option<JoinHandle<()>>) {
    if let Some(listener) = listener {
        // As above.
        let _ = listener.await;
    }
    info!(source = %stream.source, stream = stream.stream, "a source reads this stream no more");
    worker.bus.topics.forget(&stream).await;
}
