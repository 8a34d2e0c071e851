//! Counts of the queue-worker.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector};
use skep_protocol::{CallStatus, EventRoute, FunctionName, Occurrence, SourceName};

pub(crate) struct Metrics {
    in_flight: IntGaugeVec,
    finished: IntCounterVec,
    retries: IntCounterVec,
    callbacks: IntCounterVec,
    routed: IntCounterVec,
    route_age: Histogram,
    messages: IntCounterVec,
    pending: IntGaugeVec,
    scheduled: IntCounterVec,
    lateness: Histogram,
}

/// What became of a message of a source.
#[derive(Clone, Copy)]
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
    let options = HistogramOpts::new("queue_worker_schedule_lateness_seconds", help);
    registered(registry, Histogram::with_opts(options)?)
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counters =
            |name, help, labels: &[&str]| registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?);
        let gauges =
            |name, help, labels: &[&str]| registered(registry, IntGaugeVec::new(Opts::new(name, help), labels)?);
        let histogram = |name, help| registered(registry, Histogram::with_opts(HistogramOpts::new(name, help))?);
        Ok(Self {
            in_flight: gauges(
                "queue_worker_function_invocation_inflight",
                "Queued calls that run now.",
                &["function_name"],
            )?,
            finished: counters(
                "queue_worker_messages_processed_total",
                "Queued calls that ended, by their final state.",
                &["function_name", "state"],
            )?,
            retries: counters(
                "queue_worker_retries_total",
                "Attempts that failed and are followed by another one.",
                &["function_name"],
            )?,
            callbacks: counters(
                "queue_worker_callbacks_total",
                "Callbacks that ended, delivered or dead.",
                &["outcome"],
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

    /// Counts a call as running until the guard is dropped.
    pub(crate) fn begin(&self, function: &FunctionName) -> InFlight {
        let gauge = self.in_flight.with_label_values(&[&function.to_string()]);
        gauge.inc();
        InFlight(gauge)
    }

    pub(crate) fn count_finished(&self, status: &CallStatus) {
        // A name that was never deployed comes from outside and must not become a label.
        let function = if status.attempts == 0 { "" } else { status.function.as_str() };
        self.finished.with_label_values(&[function, status.state.as_str()]).inc();
    }

    pub(crate) fn count_retry(&self, function: &FunctionName) {
        self.retries.with_label_values(&[&function.to_string()]).inc();
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

pub(crate) struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
