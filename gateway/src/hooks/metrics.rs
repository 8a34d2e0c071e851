//! Counts of what sources receive. Their labels are names of the registry, and never a part of a path.

use prometheus::{Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use skep_protocol::SourceName;
use tokio::time::Instant;

/// What became of a request to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    Duplicate,
    /// It was accepted, and no route takes it.
    Ignored,
    Unverified,
    Held,
    Challenge,
    /// Too many came, from one address or to the source.
    Limited,
    TooLarge,
    /// Its sender's address may not send.
    Address,
    Failed,
}

#[derive(Clone)]
pub(super) struct HookMetrics {
    events: IntCounterVec,
    seconds: HistogramVec,
    last: GaugeVec,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Unverified => "unverified",
            Self::Held => "held",
            Self::Challenge => "challenge",
            Self::Limited => "limited",
            Self::TooLarge => "too_large",
            Self::Address => "address",
            Self::Failed => "failed",
        }
    }
}

impl HookMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let events = Opts::new("gateway_source_events_total", "Requests to sources, by what became of them.");
        let seconds = HistogramOpts::new("gateway_source_seconds", "Seconds until a request to a source was answered.");
        let last = Opts::new("gateway_source_last_event_timestamp_seconds", "When a source accepted its last event.");
        let metrics = Self {
            events: IntCounterVec::new(events, &["source", "outcome"])?,
            seconds: HistogramVec::new(seconds, &["source"])?,
            last: GaugeVec::new(last, &["source"])?,
        };
        registry.register(Box::new(metrics.events.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.last.clone()))?;
        Ok(metrics)
    }

    pub(super) fn count(&self, source: &SourceName, outcome: Outcome) {
        self.events.with_label_values(&[source.as_str(), outcome.as_str()]).inc();
        if matches!(outcome, Outcome::Accepted | Outcome::Ignored) {
            let now = skep_bus::now();
            let gauge: Gauge = self.last.with_label_values(&[source.as_str()]);
            gauge.set(now.unix_timestamp_nanos() as f64 / 1e9);
        }
    }

    pub(super) fn time(&self, source: &SourceName, started: Instant) {
        self.seconds.with_label_values(&[source.as_str()]).observe(started.elapsed().as_secs_f64());
    }

    /// A source was removed.
    pub(super) fn forget(&self, source: &SourceName) {
        // What was never counted cannot be removed.
        let _ = self.seconds.remove_label_values(&[source.as_str()]);
        let _ = self.last.remove_label_values(&[source.as_str()]);
    }
}
