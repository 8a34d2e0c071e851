//! Counts of what sources receive. Their labels are names of the registry, and never a part of a path.

use prometheus::{Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};
use skep_protocol::SourceName;
use skep_sources::Reason;
use time::OffsetDateTime;
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
    unverified: IntCounterVec,
    seconds: HistogramVec,
    last: GaugeVec,
    silent: IntGaugeVec,
    secret_used: GaugeVec,
}

impl Outcome {
    pub(super) fn as_str(self) -> &'static str {
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
        let unverified =
            Opts::new("gateway_source_unverified_total", "Requests to sources that were not verified, by the reason.");
        let silent = Opts::new("gateway_source_silent", "1 if a source has had no event for its expect_every, else 0.");
        let secret_used = Opts::new(
            "gateway_source_secret_last_used_timestamp_seconds",
            "When a secret of a source verified its last event.",
        );
        let metrics = Self {
            events: IntCounterVec::new(events, &["source", "outcome"])?,
            unverified: IntCounterVec::new(unverified, &["source", "reason"])?,
            seconds: HistogramVec::new(seconds, &["source"])?,
            last: GaugeVec::new(last, &["source"])?,
            silent: IntGaugeVec::new(silent, &["source"])?,
            secret_used: GaugeVec::new(secret_used, &["source", "secret"])?,
        };
        registry.register(Box::new(metrics.events.clone()))?;
        registry.register(Box::new(metrics.unverified.clone()))?;
        registry.register(Box::new(metrics.silent.clone()))?;
        registry.register(Box::new(metrics.secret_used.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.last.clone()))?;
        Ok(metrics)
    }

    pub(super) fn count(&self, source: &SourceName, outcome: Outcome) {
        self.events.with_label_values(&[source.as_str(), outcome.as_str()]).inc();
    }

    /// A request was refused or is held.
    pub(super) fn count_unverified(&self, source: &SourceName, reason: &Reason) {
        self.unverified.with_label_values(&[source.as_str(), reason.label()]).inc();
    }

    /// When the last event came.
    pub(super) fn set_last(&self, source: &SourceName, at: OffsetDateTime) {
        let gauge: Gauge = self.last.with_label_values(&[source.as_str()]);
        gauge.set(at.unix_timestamp_nanos() as f64 / 1e9);
    }

    /// A secret, by its number, has verified an event.
    pub(super) fn note_use(&self, source: &SourceName, secret: &str, at: OffsetDateTime) {
        let gauge: Gauge = self.secret_used.with_label_values(&[source.as_str(), secret]);
        gauge.set(at.unix_timestamp_nanos() as f64 / 1e9);
    }

    /// Whether a source that expects events is silent; `None` if it expects none.
    pub(super) fn set_silent(&self, source: &SourceName, silent: Option<bool>) {
        match silent {
            Some(silent) => self.silent.with_label_values(&[source.as_str()]).set(silent.into()),
            // It may never have been set.
            None => drop(self.silent.remove_label_values(&[source.as_str()])),
        }
    }

    pub(super) fn time(&self, source: &SourceName, started: Instant) {
        self.seconds.with_label_values(&[source.as_str()]).observe(started.elapsed().as_secs_f64());
    }

    /// A source was removed, with these secrets.
    pub(super) fn forget<'secret>(&self, source: &SourceName, secrets: impl Iterator<Item = &'secret str>) {
        // What was never counted cannot be removed.
        let _ = self.seconds.remove_label_values(&[source.as_str()]);
        let _ = self.last.remove_label_values(&[source.as_str()]);
        for secret in secrets {
            let _ = self.secret_used.remove_label_values(&[source.as_str(), secret]);
        }
        self.set_silent(source, None);
    }
}
