//! Consumers that nobody removed, because no queue-worker ran when their source was removed or changed.

use std::time::Duration;

use skep_backoff::Backoff;
use skep_bus::{FromSource, ReadPlace, Result, Source};
use time::OffsetDateTime;
use tokio::time::sleep;
use tracing::debug;

use super::source::TopicSource;
use crate::Worker;

const AGAIN: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// Removes them once, when the worker starts. What happens later it sees.
pub(super) async fn remove(worker: &Worker) {
    let mut delays = AGAIN.delays();
    while let Err(error) = Box::pin(remove_all(worker)).await {
        debug!(error = error.chain(), "it cannot be looked for consumers of sources that are gone; trying again");
        sleep(delays.next_delay()).await;
    }
}

async fn remove_all(worker: &Worker) -> Result<()> {
    // After an answer that says when the sources were lost, none that is missing counts as removed.
    let sources_made = worker.bus.sources.made_at().await?;
    for place in worker.bus.topics.read_places().await? {
        // From the registry itself, so that a source which was made a moment ago is there.
        let source = worker.bus.sources.get(&place.source).await?;
        if is_left(&place, source.as_ref(), sources_made, worker) {
            worker.bus.topics.leave(&place).await?;
        }
    }
    Ok(())
}

/// Whether no source reads there any more.
fn is_left(place: &ReadPlace, source: Option<&Source>, sources_made: OffsetDateTime, worker: &Worker) -> bool {
    let Some(source) = source else {
        // A registry that is younger than the source has lost it.
        return sources_made <= place.source_made;
    };
    let reads_messages = ["nats", "mqtt"].iter().any(|kind| source.record.spec.get(kind).is_some());
    if source.record.created_at != place.source_made || !reads_messages {
        return true;
    }
    let source = TopicSource::from_source(source, worker, None);
    // One that is disabled, or cannot be read now, comes back to its own.
    let Some(listens) = &source.listens else { return false };
    match listens.of(&source.name, &worker.bus.topics) {
        (Some(stream), _) => stream.is_captured || stream.stream != place.stream,
        (None, Some(_)) => true,
        // It cannot connect.
        (None, None) => false,
    }
}
