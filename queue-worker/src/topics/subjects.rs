//! Listens to subjects that nobody stores: what is not stored as an event is lost, and a sender that asks gets an answer that says so.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use skep_bus::{Reply, TopicMessage, TopicSubscription};
use skep_protocol::{EventId, SourceName};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use super::{
    WINDOW,
    source::Subjects,
    source_state::{LOOK_INTERVAL, SourceState},
};
use crate::{Worker, metrics::MessageOutcome};

const MAX_PAUSE: Duration = Duration::from_secs(5);
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Bytes of messages that wait to be stored. Each takes at least [`LEAST`], so they are at most 65,536.
const ROOM: usize = 64 << 20;
const LEAST: usize = 1 << 10;

/// What bounds the messages of one source.
struct Bounds {
    /// Those that wait.
    room: Arc<Semaphore>,
    /// Those that are being stored.
    window: Arc<Semaphore>,
}

pub(super) async fn listen(
    worker: &Arc<Worker>,
    source: &SourceName,
    wanted: &Subjects,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) {
    let state = SourceState::default();
    let bounds = Bounds { room: Arc::new(Semaphore::new(ROOM)), window: Arc::new(Semaphore::new(WINDOW)) };
    let mut pause = FIRST_PAUSE;
    while !stop.is_cancelled() {
        match worker.bus.topics.subscribe(source, &wanted.subjects, &wanted.link).await {
            Ok(mut subscription) => {
                state.reads();
                pause = FIRST_PAUSE;
                let ended = take_all(worker, source, &mut subscription, &bounds, tasks, &state);
                if stop.run_until_cancelled(Box::pin(ended)).await.is_none() {
                    // What the server has sent already is taken, too.
                    subscription.stop().await;
                    let rest = take_all(worker, source, &mut subscription, &bounds, tasks, &state);
                    // A server that is away sends nothing more.
                    let _ = timeout(STOP_TIMEOUT, Box::pin(rest)).await;
                    return;
                }
            }
            Err(error) => {
                state.reads_not(source, error.cause());
                state.report(worker, source, None, None).await;
            }
        }
        stop.run_until_cancelled(sleep(pause)).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// Takes messages until the subscription ends.
async fn take_all(
    worker: &Arc<Worker>,
    source: &SourceName,
    subscription: &mut TopicSubscription,
    bounds: &Bounds,
    tasks: &TaskTracker,
    state: &SourceState,
) {
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    let mut dropped = 0_u64;
    loop {
        let next = tokio::select! {
            biased;
            _ = look.tick() => {
                if dropped > 0 {
                    warn!(%source, dropped, "messages come faster than they can be stored; these are lost");
                    dropped = 0;
                }
                state.report(worker, source, None, None).await;
                continue;
            }
            next = subscription.next() => next,
        };
        let Some((message, reply)) = next else { return };
        let cost = u32::try_from(message.body.len().max(LEAST)).unwrap_or(u32::MAX);
        let Ok(place) = Arc::clone(&bounds.room).try_acquire_many_owned(cost) else {
            dropped += 1;
            worker.metrics.count_message(source, MessageOutcome::Dropped);
            answer(reply.as_ref(), Err("too many messages wait to be stored; try again later")).await;
            continue;
        };
        let (worker, source, window) = (Arc::clone(worker), source.clone(), Arc::clone(&bounds.window));
        tasks.spawn(Box::pin(async move {
            let permit = window.acquire_owned().await;
            worker.take_and_answer(&source, &message, reply.as_ref()).await;
            drop((permit, place));
        }));
    }
}

impl Worker {
    async fn take_and_answer(&self, name: &SourceName, message: &TopicMessage, reply: Option<&Reply>) {
        let Some(source) = self.topics.sources.get(name.as_str()) else {
            return answer(reply, Err("the source is gone")).await;
        };
        match Box::pin(self.take_message(&source, message, None)).await {
            Ok(ids) => answer(reply, Ok(&ids)).await,
            Err(error) => {
                warn!(error = error.chain(), source = %name, subject = message.subject, "a message cannot be stored and is lost");
                answer(reply, Err(&error.to_string())).await;
            }
        }
    }
}

/// Tells the sender of a message what became of it, if it wants to know.
async fn answer(reply: Option<&Reply>, stored: Result<&[EventId], &str>) {
    let Some(reply) = reply else { return };
    let answer = match stored {
        Ok([id]) => json!({ "event": id }),
        Ok(ids) => json!({ "events": ids }),
        Err(error) => json!({ "error": error }),
    };
    reply.send(answer.to_string().into()).await;
}
