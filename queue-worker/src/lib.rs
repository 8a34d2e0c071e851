//! The queue-worker: pulls accepted calls from the bus, runs them, stores one record of each, and delivers callbacks.
//!
//! It holds no durable state: if it is killed at any moment, another one finishes its calls.
//! It knows the bus and how to reach a function; it does not know what runs functions, or who submitted a call.

mod attempt;
mod backlog;
mod body;
mod call;
mod callback;
mod cancellation;
mod dead_lettering;
mod debounce;
pub mod decision;
mod direct;
mod due;
mod held;
mod holders;
mod ingest;
mod lane;
mod metrics;
mod missed;
mod own_events;
mod peers;
mod pull;
mod route;
mod slots;
mod spans;
mod topics;
mod turn;
mod verdict;

use std::{sync::Arc, time::Duration};

use skep_bus::QueueWorkerBus;
use skep_dispatch::Dispatch;
use skep_https::SigningKeys;
use skep_own_events::OwnEvents;
use skep_protocol::LANES;
use skep_sources::SealKey;
use skep_trace::Tracer;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    backlog::Backlogs, callback::Callbacks, direct::DirectCalls, held::HeldCalls, holders::Holders, metrics::Metrics,
    missed::MissedCalls, slots::Slots,
};

pub use crate::callback::{Allowance, AllowanceError, CallbackRules, SubjectPattern, SubjectPatternError};

/// An answer that waits for NATS ends within this time.
const PRESENCE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Calls that run at once on one replica that set no `max_inflight` of its own.
    pub concurrency_per_replica: usize,
    /// Calls of one lane that this worker holds at once, running or waiting for a replica.
    pub lane_window: usize,
    /// Events whose calls may run straight from them at the same time.
    pub direct_events: usize,
    /// The largest answer that is kept, in bytes.
    pub result_limit: u64,
    /// A call that runs longer than this leaves its lane.
    pub long_after: Duration,
    /// How long after the end of its call a callback that fails is tried again.
    pub callback_max_age: Duration,
    /// How long one callback request may take.
    pub callback_timeout: Duration,
    pub callback_rules: CallbackRules,
    /// Subjects that callbacks may be published to.
    pub callback_subjects: Vec<SubjectPattern>,
    /// What callbacks are signed with, if they are.
    pub callback_keys: Option<SigningKeys>,
    /// How long the bus keeps records.
    pub keep_records: Duration,
    /// How long running calls may go on after the worker is asked to stop.
    pub grace: Duration,
    /// What the credentials of sources are sealed with.
    pub seal_key: Option<Arc<SealKey>>,
    /// Where spans go.
    pub tracer: Tracer,
    pub version: &'static str,
}

/// What every task of the worker needs.
pub(crate) struct Worker {
    pub(crate) config: WorkerConfig,
    pub(crate) bus: QueueWorkerBus,
    pub(crate) dispatch: Dispatch,
    pub(crate) slots: Slots,
    pub(crate) backlogs: Backlogs,
    pub(crate) direct: DirectCalls,
    pub(crate) held: HeldCalls,
    pub(crate) holders: Holders,
    pub(crate) metrics: Metrics,
    pub(crate) callbacks: Callbacks,
    pub(crate) own_events: OwnEvents,
    pub(crate) missed: MissedCalls,
    pub(crate) bursts: debounce::Turns,
    pub(crate) topics: topics::Topics,
    /// Cancelled when the worker should begin nothing new.
    pub(crate) shutdown: CancellationToken,
    /// Cancelled when its last call has ended; until then it answers the other workers.
    pub(crate) gone: CancellationToken,
}

/// Works until `shutdown`; then stops pulling, gives back what has not begun, and finishes what runs.
pub async fn run(
    config: WorkerConfig,
    bus: QueueWorkerBus,
    dispatch: Dispatch,
    metrics: &prometheus::Registry,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let tasks = TaskTracker::new();
    let (holders, questions) = Holders::new();
    let worker = Arc::new(Worker {
        slots: Slots::new(dispatch.registry().clone(), config.concurrency_per_replica),
        backlogs: Backlogs::new(tasks.clone()),
        direct: DirectCalls::new(tasks.clone(), config.direct_events),
        held: HeldCalls::default(),
        holders,
        metrics: Metrics::register(metrics)?,
        callbacks: Callbacks::new(&config, dispatch.registry())?,
        own_events: own_events::new(&bus, dispatch.registry().clone(), metrics, config.tracer.clone())?,
        missed: MissedCalls::default(),
        bursts: debounce::Turns::default(),
        topics: topics::Topics::new(config.seal_key.clone()),
        config,
        bus,
        dispatch,
        shutdown,
        gone: CancellationToken::new(),
    });
    for lane in 0..LANES {
        tasks.spawn(lane::run(Arc::clone(&worker), lane, tasks.clone()));
    }
    tasks.spawn(backlog::run(Arc::clone(&worker)));
    tasks.spawn(due::run(Arc::clone(&worker), tasks.clone()));
    tasks.spawn(ingest::run(Arc::clone(&worker), tasks.clone()));
    tasks.spawn(route::run(Arc::clone(&worker), tasks.clone()));
    tasks.spawn(topics::run(Arc::clone(&worker), tasks.clone()));
    tasks.spawn(ingest::dead_letter_unreadable(Arc::clone(&worker)));
    tasks.spawn(callback::run(Arc::clone(&worker), tasks.clone()));
    tasks.spawn(holders::ask(Arc::clone(&worker), questions));
    tasks.spawn(slots::follow(Arc::clone(&worker)));
    tasks.spawn(metrics::tend(Arc::clone(&worker)));
    let presence = begin_presence(&worker);
    info!(lanes = LANES, "queue-worker is pulling");

    worker.shutdown.cancelled().await;
    tasks.close();
    info!(tasks = tasks.len(), "queue-worker is finishing its calls");
    if timeout(worker.config.grace, tasks.wait()).await.is_err() {
        warn!(tasks = tasks.len(), "calls did not end in time; another worker will run them again");
    }
    worker.gone.cancel();
    presence.close();
    if timeout(PRESENCE_TIMEOUT, presence.wait()).await.is_err() {
        warn!(tasks = presence.len(), "the answers to other workers did not end in time");
    }
    worker.bus.connection.flush().await;
    Ok(())
}

/// Starts what goes on until the last call has ended: the answers to other workers.
fn begin_presence(worker: &Arc<Worker>) -> TaskTracker {
    let presence = TaskTracker::new();
    presence.spawn(peers::run(Arc::clone(worker)));
    presence.spawn(own_events::follow(Arc::clone(worker)));
    presence.spawn(missed::run(Arc::clone(worker)));
    presence.spawn(holders::answer(Arc::clone(worker)));
    presence.spawn(cancellation::run(Arc::clone(worker)));
    presence
}
