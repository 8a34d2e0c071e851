//! The state of a source of messages, for the API.

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
const REPORT_INTERVAL: Duration = Duration::from_secs(15);
/// How long a message that could not be taken is reported.
const REFUSED_FOR: Duration = Duration::from_secs(600);

/// What is known of one source.
#[derive(Default)]
pub(super) struct SourceState(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Why nothing can be read.
    unread: Option<String>,
    /// Why a message could not be stored.
    refused: Option<(Instant, String)>,
    reported: Option<(Instant, Option<String>, Option<u64>)>,
}

impl SourceState {
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

    /// Publishes it, if it is new.
    pub(super) async fn report(
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
            let is_new = known.reported.as_ref().is_none_or(|(at, before, waited)| {
                at.elapsed() > REPORT_INTERVAL || *before != problem || *waited != pending
            });
            if !is_new {
                return;
            }
            known.reported = Some((Instant::now(), problem.clone(), pending));
            TopicState { at: skep_bus::now(), problem, pending }
        };
        worker.metrics.set_pending(source, pending);
        worker.bus.topics.publish_state(source, &state).await;
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells what keeps a source from listening at all.
pub(super) async fn report_problem(worker: &Worker, source: &SourceName, problem: String, stop: &CancellationToken) {
    let state = SourceState::default();
    state.reads_not(source, problem);
    while !stop.is_cancelled() {
        state.report(worker, source, None, None).await;
        stop.run_until_cancelled(sleep(LOOK_INTERVAL)).await;
    }
}
