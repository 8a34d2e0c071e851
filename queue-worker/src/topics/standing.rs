//! How it is with a source of messages, for people who look at it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use skep_protocol::{SourceName, TopicState};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::Worker;

/// Between two looks.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// A state that has not changed is reported again after this time.
const TELL_INTERVAL: Duration = Duration::from_secs(15);
/// How long a message that could not be taken is told of.
const REFUSED_FOR: Duration = Duration::from_secs(600);

/// What is known of one source.
#[derive(Default)]
pub(super) struct Standing(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Why nothing can be read.
    unread: Option<String>,
    /// Why a message could not be stored.
    refused: Option<(Instant, String)>,
    told: Option<(Instant, Option<String>, Option<u64>)>,
}

impl Standing {
    pub(super) fn reads(&self) {
        self.lock().unread = None;
    }

    /// Nothing can be read; it is logged when that is new.
    pub(super) fn reads_not(&self, source: &SourceName, reason: String) {
        let mut known = self.lock();
        if known.unread.as_ref() != Some(&reason) {
            warn!(%source, reason, "messages of a source cannot be read; trying again");
            known.unread = Some(reason);
        }
    }

    /// A message could not be stored, and may never be.
    pub(super) fn refused(&self, reason: String) {
        self.lock().refused = Some((Instant::now(), reason));
    }

    /// Tells it where others can see it, if it is new.
    pub(super) async fn tell(
        &self,
        worker: &Worker,
        source: &SourceName,
        problem: Option<String>,
        pending: Option<u64>,
    ) {
        let state = {
            let mut known = self.lock();
            let refused = known.refused.as_ref().filter(|(at, _)| at.elapsed() < REFUSED_FOR);
            let problem = known.unread.clone().or(problem).or_else(|| refused.map(|(_, reason)| reason.clone()));
            let is_new = known.told.as_ref().is_none_or(|(at, before, waited)| {
                at.elapsed() > TELL_INTERVAL || *before != problem || *waited != pending
            });
            if !is_new {
                return;
            }
            known.told = Some((Instant::now(), problem.clone(), pending));
            TopicState { at: skep_bus::now(), problem, pending }
        };
        worker.metrics.set_pending(source, pending);
        worker.bus.topics.tell(source, &state).await;
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells what keeps a source from listening at all.
pub(super) async fn tell_problem(worker: &Worker, source: &SourceName, problem: String, stop: &CancellationToken) {
    let standing = Standing::default();
    standing.reads_not(source, problem);
    while !stop.is_cancelled() {
        standing.tell(worker, source, None, None).await;
        stop.run_until_cancelled(sleep(LOOK_INTERVAL)).await;
    }
}
