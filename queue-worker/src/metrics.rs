//! Counts of the queue-worker.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use skep_protocol::{CallStatus, EventRoute, FunctionName, SourceName};

pub(crate) struct Metrics {
    in_flight: IntGaugeVec,
    finished: IntCounterVec,
    retries: IntCounterVec,
    callbacks: IntCounterVec,
    routed: IntCounterVec,
    route_age: Histogram,
    messages: IntCounterVec,
    pending: IntGaugeVec,
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

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            in_flight: IntGaugeVec::new(
                Opts::new("queue_worker_function_invocation_inflight", "Queued calls that run now."),
                &["function_name"],
            )?,
            finished: IntCounterVec::new(
                Opts::new("queue_worker_messages_processed_total", "Queued calls that ended, by their final state."),
                &["function_name", "state"],
            )?,
            retries: IntCounterVec::new(
                Opts::new("queue_worker_retries_total", "Attempts that failed and are followed by another one."),
                &["function_name"],
            )?,
            callbacks: IntCounterVec::new(
                Opts::new("queue_worker_callbacks_total", "Callbacks that ended, delivered or dead."),
                &["outcome"],
            )?,
            routed: IntCounterVec::new(
                Opts::new("queue_worker_routed_total", "Calls that events made, by source and route."),
                &["source", "route"],
            )?,
            route_age: Histogram::with_opts(HistogramOpts::new(
                "queue_worker_route_age_seconds",
                "Seconds from when an event was stored until all its calls were.",
            ))?,
            messages: IntCounterVec::new(
                Opts::new(
                    "queue_worker_source_messages_total",
                    "Messages of NATS and MQTT that are events of sources.",
                ),
                &["source", "outcome"],
            )?,
            pending: IntGaugeVec::new(
                Opts::new("queue_worker_source_pending", "Messages of a source's stream that are no events yet."),
                &["source"],
            )?,
        };
        registry.register(Box::new(metrics.in_flight.clone()))?;
        registry.register(Box::new(metrics.finished.clone()))?;
        registry.register(Box::new(metrics.retries.clone()))?;
        registry.register(Box::new(metrics.callbacks.clone()))?;
        registry.register(Box::new(metrics.routed.clone()))?;
        registry.register(Box::new(metrics.route_age.clone()))?;
        registry.register(Box::new(metrics.messages.clone()))?;
        registry.register(Box::new(metrics.pending.clone()))?;
        Ok(metrics)
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

    pub(crate) fn count_callback(&self, outcome: &str) {
        self.callbacks.with_label_values(&[outcome]).inc();
    }
}

pub(crate) struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
