//! Reads the stream of a source: a message is acknowledged when its event is stored, and not before.

use std::{sync::Arc, time::Duration};

use skep_bus::{Delivery, TopicMessage, TopicStream};
use skep_protocol::SourceName;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::{
    WINDOW,
    source_state::{LOOK_INTERVAL, SourceState},
};
use crate::{Worker, pull::Puller};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(5);
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// What cannot be stored as it is may be stored by a server with other settings.
const REFUSED_DELAY: Duration = Duration::from_secs(300);
/// How often a stream is searched for messages that do not come by themselves.
const SEARCH_INTERVAL: Duration = Duration::from_secs(10);
/// A stream that is filled to this share is a problem.
const FULL: f64 = 0.95;

pub(super) async fn listen(
    worker: &Arc<Worker>,
    source: &SourceName,
    stream: &Arc<TopicStream>,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) {
    let state = Arc::new(SourceState::default());
    let pulled = pull(worker, source, stream, (stop, tasks), &state);
    let watched = stop.run_until_cancelled(Box::pin(watch(worker, source, stream, &state)));
    tokio::join!(pulled, watched);
}

async fn pull(
    worker: &Arc<Worker>,
    source: &SourceName,
    stream: &Arc<TopicStream>,
    (stop, tasks): (&CancellationToken, &TaskTracker),
    state: &Arc<SourceState>,
) {
    let mut queue = worker.bus.topics.queue(stream);
    let puller = Puller { queue: "topic", window: WINDOW, tasks: tasks.clone(), shutdown: stop.clone() };
    let window = Arc::new(Semaphore::new(WINDOW));
    let mut pause = FIRST_PAUSE;
    while !stop.is_cancelled() {
        let deliveries = match Box::pin(puller.next(&mut queue, &window)).await {
            Ok(deliveries) => deliveries,
            Err(error) => {
                state.reads_not(source, error.cause());
                stop.run_until_cancelled(sleep(pause)).await;
                pause = (pause * 2).min(MAX_PAUSE);
                continue;
            }
        };
        state.reads();
        pause = FIRST_PAUSE;
        for delivery in deliveries {
            // Only this loop takes permits, so there is one for each delivery that was asked for.
            let Ok(permit) = Arc::clone(&window).acquire_owned().await else { return };
            let (worker, source, state) = (Arc::clone(worker), source.clone(), Arc::clone(state));
            tasks.spawn(Box::pin(async move {
                delivery.hold(worker.take_delivery(&source, &delivery, &state)).await;
                drop(permit);
            }));
        }
    }
    // Those under way are finished with the worker's own tasks.
}

impl Worker {
    async fn take_delivery(&self, name: &SourceName, delivery: &Delivery<TopicMessage>, state: &SourceState) {
        let (Ok(message), Some(source)) = (&delivery.content, self.topics.sources.get(name.as_str())) else {
            return delivery.again_after(RETRY_DELAY).await;
        };
        let id = delivery.event_id();
        match Box::pin(self.take_message(&source, message, Some(&id))).await {
            Ok(_) => delivery.ack().await,
            Err(error) if error.may_pass() => {
                debug!(error = error.chain(), source = %name, id, "a message cannot be stored; trying again");
                delivery.again_after(RETRY_DELAY).await;
            }
            Err(error) => {
                let (sequence, reason) = (delivery.sequence, error.chain());
                warn!(reason, source = %name, sequence, "a message cannot be stored as it is; it is looked at again later");
                state.refused(format!("message {sequence} of its stream cannot be stored: {reason}"));
                delivery.again_after(REFUSED_DELAY).await;
            }
        }
    }

    /// Stores what the NATS client cannot read, as far as it is readable.
    async fn take_unreadable(&self, name: &SourceName, stream: &TopicStream) -> skep_bus::Result<()> {
        for unreadable in self.bus.topics.unreadable(stream).await? {
            let Some(source) = self.topics.sources.get(name.as_str()) else { return Ok(()) };
            warn!(source = %name, reason = unreadable.reason, "headers of a message cannot be read; its event has the others");
            Box::pin(self.take_message(&source, &unreadable.message, Some(&unreadable.event_id))).await?;
            self.bus.topics.ack_unreadable(stream, &unreadable).await?;
        }
        Ok(())
    }
}

/// Tells how far the source has come, and takes what does not come by itself.
async fn watch(worker: &Worker, source: &SourceName, stream: &TopicStream, state: &SourceState) {
    let mut connections = stream.link.connections();
    let mut searched_at = Instant::now();
    loop {
        let reconnected = tokio::select! {
            // The sender lives as long as the link does.
            _ = connections.changed() => true,
            () = sleep(LOOK_INTERVAL) => false,
        };
        match worker.bus.topics.progress(stream).await {
            Ok(progress) => {
                let problem = (progress.filled > FULL).then(|| {
                    format!(
                        "stream {} is full, and the server refuses messages: they come faster than they are stored",
                        stream.stream
                    )
                });
                state.report(worker, source, problem, Some(progress.pending)).await;
                let is_due = reconnected || searched_at.elapsed() > SEARCH_INTERVAL;
                if is_due {
                    searched_at = Instant::now();
                }
                if is_due
                    && (reconnected || progress.is_redelivered)
                    && let Err(error) = Box::pin(worker.take_unreadable(source, stream)).await
                {
                    debug!(error = error.chain(), %source, "a stream cannot be searched; trying again");
                }
            }
            Err(error) => state.report(worker, source, Some(error.cause()), None).await,
        }
    }
}
