//! Counts how calls end of a version on trial and of the version beside it, for the report that goes to the controller every second.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{StatusCode, header::HeaderMap};
use skep_bus::Activity;
use skep_protocol::{
    CallCounts, FunctionName, FunctionPolicy, FunctionRecord, LatencyCounts, TrialCounts, TrialId, headers,
};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Error, Function, Registry};

const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Reports all counts every second, until shutdown.
pub(crate) async fn report(activity: Activity, registry: Registry, shutdown: CancellationToken) {
    let process = Uuid::new_v4().simple().to_string();
    let mut ticks = interval(REPORT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let functions = registry.snapshot();
        let trials = functions.iter().filter_map(|function| function.trial.as_ref()?.counts(&function.name));
        let trials: Vec<_> = trials.collect();
        shutdown.run_until_cancelled(activity.report_trials(&process, &trials)).await;
    }
}

/// The calls of one function since its version is on trial.
pub(crate) struct Trial {
    id: TrialId,
    new: Counter,
    old: Counter,
}

/// Which of the two versions a call was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    New,
    Old,
}

#[derive(Default)]
struct Counter {
    answered: AtomicU64,
    failed: AtomicU64,
    latency: Latency,
}

struct Latency([AtomicU64; LatencyCounts::BUCKETS]);

impl Trial {
    /// What is on trial of a function; a known one goes on.
    pub(crate) fn of(record: &FunctionRecord, policy: &FunctionPolicy, known: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        let id = on_trial(record, policy)?;
        let known = known.filter(|known| known.id == id).cloned();
        Some(known.unwrap_or_else(|| Arc::new(Self { id, new: Counter::default(), old: Counter::default() })))
    }

    /// What was counted so far, if anything was.
    pub(crate) fn counts(&self, function: &FunctionName) -> Option<TrialCounts> {
        let counts =
            TrialCounts { function: function.clone(), trial: self.id, new: self.new.counts(), old: self.old.counts() };
        Some(counts).filter(|counts| counts.new.calls() + counts.old.calls() > 0)
    }

    fn of_side(&self, side: Side) -> &Counter {
        match side {
            Side::New => &self.new,
            Side::Old => &self.old,
        }
    }
}

/// The canary, or an update that has not answered a call yet; before it is ready, the replicas are those of another version.
fn on_trial(record: &FunctionRecord, policy: &FunctionPolicy) -> Option<TrialId> {
    let version = match &record.canary {
        Some(canary) => &canary.version,
        None => {
            let version = record.version.as_ref()?;
            let number = Some(version.number);
            let is_awaited = record.ready_version == number && record.answered_version != number;
            Some(version).filter(|_| is_awaited && policy.first_calls.is_some())?
        }
    };
    Some(TrialId { version: version.number, at: version.at })
}

impl Counter {
    fn counts(&self) -> CallCounts {
        CallCounts {
            answered: self.answered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            latency: self.latency.0.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
        }
    }

    fn count(&self, end: End, took: Duration) {
        match end {
            End::Answered => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                if let Some(bucket) = self.latency.0.get(LatencyCounts::bucket(took)) {
                    bucket.fetch_add(1, Ordering::Relaxed);
                }
            }
            End::Failed => {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::default()))
    }
}

/// How a call has ended, as far as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Answered,
    Failed,
}

impl End {
    /// Of an answer; one that only says that the replica is busy is none.
    pub(crate) fn of_answer(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        match status {
            StatusCode::TOO_MANY_REQUESTS if headers.contains_key(headers::OPENFAAS_INTERNAL) => None,
            status if status.is_server_error() => Some(Self::Failed),
            _ => Some(Self::Answered),
        }
    }

    /// Of a call that was not answered; a caller that broke off, or a function without a replica, says nothing of the version.
    pub(crate) fn of_error(error: &Error) -> Option<Self> {
        match error {
            Error::Unreachable { .. } | Error::Broken { .. } | Error::TimedOut(_) => Some(Self::Failed),
            Error::NoReplica(_) | Error::TooManyHeld(_) | Error::RequestBody(_) => None,
        }
    }
}

/// One call on its way to a version; it is counted when this is dropped, if its end is known then.
pub(crate) struct Tally {
    trial: Arc<Trial>,
    side: Side,
    began: Instant,
    end: Option<End>,
}

impl Tally {
    /// Begins with a call that is sent to this version, if one is on trial.
    pub(crate) fn begin(function: &Function, side: Side) -> Option<Self> {
        let trial = Arc::clone(function.trial.as_ref()?);
        Some(Self { trial, side, began: Instant::now(), end: None })
    }

    /// Notes what has become of the call.
    pub(crate) fn ends(tally: &mut Option<Self>, end: Option<End>) {
        if let Some(tally) = tally {
            tally.end = end;
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if let Some(end) = self.end {
            self.trial.of_side(self.side).count(end, self.began.elapsed());
        }
    }
}
