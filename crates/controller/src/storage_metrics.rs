//! Figures of what is stored, while this controller leads: what the streams take, dead letters, and callbacks that wait.

use std::{sync::Arc, time::Duration};

use prometheus::{Gauge, GaugeVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector};
use skep_bus::{DeadLetterCounts, Housekeeping, Result, WaitingCallbacks};
use skep_protocol::StreamUsage;
use tokio::time::sleep;
use tracing::debug;

use crate::reconcile::Reconcilers;

/// Two dozen small requests to NATS each time.
const INTERVAL: Duration = Duration::from_secs(10);

const MESSAGES: (&str, &str) = ("skep_stream_messages", "Messages that a stream of skep holds.");
const BYTES: (&str, &str) = ("skep_stream_bytes", "Bytes that a stream of skep takes.");
const LIMIT: (&str, &str) =
    ("skep_stream_limit_bytes", "Bytes that a stream may take, by whether it refuses more then or drops its oldest.");
const STORED: (&str, &str) = ("skep_nats_storage_bytes", "Bytes that NATS stores for the account of skep.");
const STORED_LIMIT: (&str, &str) =
    ("skep_nats_storage_limit_bytes", "Bytes that the account of skep may store, if that has a limit.");
const DEAD: (&str, &str) = ("skep_dead_letters", "Dead letters that are kept.");
const CALLBACKS: (&str, &str) = ("skep_callbacks_waiting", "Callbacks that are not delivered yet.");
const OLDEST: (&str, &str) =
    ("skep_callback_oldest_seconds", "How long ago the call ended whose callback waits longest; 0 if none waits.");

/// Gauges that only the controller has that leads; cheap to clone.
#[derive(Clone)]
pub(crate) struct StorageMetrics {
    messages: IntGaugeVec,
    bytes: IntGaugeVec,
    limit: IntGaugeVec,
    stored: IntGaugeVec,
    stored_limit: IntGaugeVec,
    dead: IntGaugeVec,
    callbacks: IntGaugeVec,
    oldest: GaugeVec,
}

impl StorageMetrics {
    /// Registers them, once in a process.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |(name, help): (&str, &str), labels: &[&str]| {
            registered(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
        };
        Ok(Self {
            messages: gauge(MESSAGES, &["stream"])?,
            bytes: gauge(BYTES, &["stream"])?,
            limit: gauge(LIMIT, &["stream", "when_full"])?,
            stored: gauge(STORED, &[])?,
            stored_limit: gauge(STORED_LIMIT, &[])?,
            dead: gauge(DEAD, &["function_name", "kind"])?,
            callbacks: gauge(CALLBACKS, &[])?,
            oldest: registered(registry, GaugeVec::new(Opts::new(OLDEST.0, OLDEST.1), &[])?)?,
        })
    }

    fn show_streams(&self, streams: Vec<StreamUsage>) {
        for gauges in [&self.messages, &self.bytes, &self.limit] {
            gauges.reset();
        }
        for StreamUsage { name, messages, bytes, limit, refuses } in streams {
            set(&self.messages.with_label_values(&[&name]), messages);
            set(&self.bytes.with_label_values(&[&name]), bytes);
            if let Some(limit) = limit {
                let when_full = if refuses { "refuses" } else { "drops_oldest" };
                set(&self.limit.with_label_values(&[name.as_str(), when_full]), limit);
            }
        }
    }

    fn show_dead(&self, counts: DeadLetterCounts, reconcilers: &Reconcilers) {
        self.dead.reset();
        match counts {
            DeadLetterCounts::All(count) => set(&self.dead.with_label_values(&["", ""]), count),
            DeadLetterCounts::ByFunction(counts) => {
                for ((function, kind), count) in counts {
                    // A name that is not deployed may come from outside and must not become a label.
                    let name = function.parse().ok().filter(|name| reconcilers.require(name).is_ok());
                    let label = name.as_ref().map(ToString::to_string).unwrap_or_default();
                    self.dead
                        .with_label_values(&[label.as_str(), kind.as_str()])
                        .add(count.try_into().unwrap_or(i64::MAX));
                }
            }
        }
    }

    fn show_callbacks(&self, found: WaitingCallbacks) {
        set(&self.callbacks.with_label_values::<&str>(&[]), found.waiting);
        let oldest: Gauge = self.oldest.with_label_values::<&str>(&[]);
        oldest.set(found.oldest.as_secs_f64());
    }

    /// Another controller has newer figures.
    fn clear(&self) {
        let all =
            [&self.messages, &self.bytes, &self.limit, &self.stored, &self.stored_limit, &self.dead, &self.callbacks];
        all.into_iter().for_each(IntGaugeVec::reset);
        self.oldest.reset();
    }
}

/// Looks again and again, until it is dropped; then nothing is shown any more.
pub(crate) async fn run(bus: Housekeeping, metrics: StorageMetrics, reconcilers: Arc<Reconcilers>) {
    let shown = Shown(metrics);
    loop {
        if let Err(error) = look(&bus, &shown.0, &reconcilers).await {
            debug!(error = error.chain(), "what is stored cannot be counted; trying again");
        }
        sleep(INTERVAL).await;
    }
}

struct Shown(StorageMetrics);

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.clear();
    }
}

async fn look(bus: &Housekeeping, metrics: &StorageMetrics, reconcilers: &Reconcilers) -> Result<()> {
    metrics.show_streams(bus.stream_usage().await);
    if let Some(storage) = bus.storage().await? {
        set(&metrics.stored.with_label_values::<&str>(&[]), storage.bytes);
        set(&metrics.stored_limit.with_label_values::<&str>(&[]), storage.limit);
    }
    metrics.show_dead(bus.dead_letter_counts().await?, reconcilers);
    metrics.show_callbacks(bus.waiting_callbacks().await?);
    Ok(())
}

fn set(gauge: &IntGauge, value: u64) {
    gauge.set(value.try_into().unwrap_or(i64::MAX));
}

fn registered<T: Collector + Clone + 'static>(registry: &Registry, metric: T) -> prometheus::Result<T> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
