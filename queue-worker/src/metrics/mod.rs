//! Counts of the queue-worker: all names and what they mean. `function.rs` has the figures of each function.

mod function;

use std::{sync::Arc, time::Duration};

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGaugeVec, Opts, Registry, core::Collector};
use skep_metrics::TracedHistograms;
use skep_protocol::{CallState, DeadKind, EventRoute, FunctionName, Occurrence, SourceName};
use tokio::time::sleep;

use self::function::{Families, FunctionMetrics, Functions};
use crate::Worker;

/// How often figures of functions that are gone are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
const FUNCTION: &str = "function_name";
/// A call is taken within milliseconds, or it waits for hours behind others.
const WAIT_BUCKETS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0];
/// The bounds that were there first, and longer ones: after an outage, a schedule fires late by as long as it took.
const LATENESS_BUCKETS: [f64; 15] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 600.0, 3600.0];

pub(crate) struct Metrics {
    functions: Functions,
    callbacks: IntCounterVec,
    callback_attempts: IntCounterVec,
    routed: IntCounterVec,
    route_age: Histogram,
    messages: IntCounterVec,
    pending: IntGaugeVec,
    scheduled: IntCounterVec,
    lateness: Histogram,
}

/// What became of a message of a source.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageOutcome {
    Accepted,
    Duplicate,
    Ignored,
    Failed,
    /// There was no room for it.
    Dropped,
}

impl MessageOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// What became of a call of a schedule that has come due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScheduleOutcome {
    Fired,
    Skipped,
    Missed,
}

fn registered<T: Collector + Clone + 'static>(registry: &Registry, metric: T) -> prometheus::Result<T> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn scheduled(registry: &Registry) -> prometheus::Result<IntCounterVec> {
    let help = "Calls of schedules that came due: fired, skipped because an earlier one ran, or missed.";
    let options = Opts::new("queue_worker_schedule_calls_total", help);
    registered(registry, IntCounterVec::new(options, &["source", "route", "outcome"])?)
}

fn lateness(registry: &Registry) -> prometheus::Result<Histogram> {
    let help = "Seconds from when a call of a schedule was due until it was fired.";
    let options = HistogramOpts::new("queue_worker_schedule_lateness_seconds", help).buckets(LATENESS_BUCKETS.to_vec());
    registered(registry, Histogram::with_opts(options)?)
}

/// Those with a label for the function.
fn families(registry: &Registry) -> prometheus::Result<Families> {
    let counters =
        |name, help, labels: &[&str]| registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?);
    let in_flight = Opts::new("queue_worker_function_invocation_inflight", "Queued calls that run now.");
    let waited = HistogramOpts::new(
        "skep_queue_wait_seconds",
        "Seconds from when a queued call was due until its first attempt.",
    );
    Ok(Families {
        in_flight: registered(registry, IntGaugeVec::new(in_flight, &[FUNCTION])?)?,
        waited: registered(registry, TracedHistograms::new(waited.buckets(WAIT_BUCKETS.to_vec()), &[FUNCTION])?)?,
        finished: counters(
            "queue_worker_messages_processed_total",
            "Queued calls that ended, by their final state.",
            &[FUNCTION, "state"],
        )?,
        retries: counters(
            "queue_worker_retries_total",
            "Attempts that failed and are followed by another one.",
            &[FUNCTION],
        )?,
        dead: counters(
            "skep_dead_letters_total",
            "Dead letters that were stored: calls that could not be run, and callbacks that could not be delivered.",
            &[FUNCTION, "kind"],
        )?,
    })
}

/// Drops the figures of functions that are gone, until shutdown.
pub(crate) async fn tend(worker: Arc<Worker>) {
    while worker.shutdown.run_until_cancelled(sleep(SWEEP_INTERVAL)).await.is_some() {
        worker.metrics.sweep(|name| worker.dispatch.registry().get(name).is_some());
    }
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counters =
            |name, help, labels: &[&str]| registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?);
        let gauges =
            |name, help, labels: &[&str]| registered(registry, IntGaugeVec::new(Opts::new(name, help), labels)?);
        let histogram = |name, help| registered(registry, Histogram::with_opts(HistogramOpts::new(name, help))?);
        Ok(Self {
            functions: Functions::new(families(registry)?),
            callbacks: counters(
                "queue_worker_callbacks_total",
                "Callbacks that ended, delivered or dead.",
                &["outcome"],
            )?,
            callback_attempts: counters(
                "skep_callback_attempts_total",
                "Tries to deliver callbacks, by what came of them and why.",
                &["outcome", "reason"],
            )?,
            routed: counters(
                "queue_worker_routed_total",
                "Calls that events made, by source and route.",
                &["source", "route"],
            )?,
            route_age: histogram(
                "queue_worker_route_age_seconds",
                "Seconds from when an event was stored until all its calls were.",
            )?,
            messages: counters(
                "queue_worker_source_messages_total",
                "Messages of NATS and MQTT that are events of sources.",
                &["source", "outcome"],
            )?,
            pending: gauges(
                "queue_worker_source_pending",
                "Messages of a source's stream that are no events yet.",
                &["source"],
            )?,
            scheduled: scheduled(registry)?,
            lateness: lateness(registry)?,
        })
    }

    /// The figures of a deployed function.
    pub(crate) fn of(&self, function: &FunctionName) -> Arc<FunctionMetrics> {
        self.functions.of(function)
    }

    /// Counts the end of a call; its function is `None` if it is not deployed.
    pub(crate) fn count_end(&self, function: Option<&FunctionName>, state: CallState) {
        match function {
            Some(function) => self.of(function).count_end(state),
            None => self.functions.count_end_of_unknown(state),
        }
    }

    /// Counts a dead letter; its function is `None` if it is not deployed.
    pub(crate) fn count_dead(&self, function: Option<&FunctionName>, kind: DeadKind) {
        self.functions.count_dead(function, kind);
    }

    fn sweep(&self, is_deployed: impl Fn(&FunctionName) -> bool) {
        self.functions.sweep(is_deployed);
    }

    /// Counts the calls of an event; sources and routes are those of the registry.
    pub(crate) fn count_routed(&self, source: &str, routes: &[EventRoute], age: Duration) {
        for route in routes {
            self.routed.with_label_values(&[source, route.route.as_str()]).inc();
        }
        self.route_age.observe(age.as_secs_f64());
    }

    pub(crate) fn count_message(&self, source: &SourceName, outcome: MessageOutcome) {
        self.messages.with_label_values(&[source.as_str(), outcome.as_str()]).inc();
    }

    pub(crate) fn set_pending(&self, source: &SourceName, pending: Option<u64>) {
        if let Some(pending) = pending {
            let pending = i64::try_from(pending).unwrap_or(i64::MAX);
            self.pending.with_label_values(&[source.as_str()]).set(pending);
        }
    }

    /// Counts a call of a schedule; sources and routes are those of the registry.
    pub(crate) fn count_schedule(&self, occurrence: &Occurrence, outcome: ScheduleOutcome, late: Duration) {
        let labels = [occurrence.source.as_str(), occurrence.route.as_str(), outcome.as_str()];
        self.scheduled.with_label_values(&labels).inc();
        if outcome == ScheduleOutcome::Fired {
            self.lateness.observe(late.as_secs_f64());
        }
    }

    pub(crate) fn count_callback(&self, outcome: &str) {
        self.callbacks.with_label_values(&[outcome]).inc();
    }

    /// Counts a try to deliver a callback, or that it was put off.
    pub(crate) fn count_callback_attempt(&self, outcome: &str, reason: &str) {
        self.callback_attempts.with_label_values(&[outcome, reason]).inc();
    }
}

impl ScheduleOutcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
        }
    }
}
