//! Sends spans to a collector by OTLP (http/protobuf), in batches.
//!
//! The crates of OpenTelemetry batch, retry and send; this one hands them spans that have ended, and writes the bytes of a batch.
//! Nothing here waits for a collector but the thread that sends: a span that finds the queue full is dropped and counted.

mod client;
mod counted;
mod data;
mod encode;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    resource::EnvResourceDetector,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SpanProcessor},
};
use prometheus::Registry;
use skep_trace::{Finished, Sink};
use thiserror::Error;
use tokio::{runtime::Handle, task::spawn_blocking, time::timeout};
use tracing::{debug, warn};

use crate::{
    client::{Batch, OnRuntime},
    counted::{Counted, Writer},
    encode::Encoder,
};

/// Where spans go, and who sends them.
#[derive(Clone, Debug)]
pub struct Config {
    /// The whole URL, as `http://127.0.0.1:4318/v1/traces`, without a password, because HTTP clients log it.
    pub endpoint: String,
    /// Spans that wait; further ones are dropped.
    pub queue: usize,
    /// How long one request may take.
    pub timeout: Duration,
    /// Of the resource, as OpenTelemetry's conventions name them; `OTEL_RESOURCE_ATTRIBUTES` goes before them.
    pub resource: Vec<(&'static str, String)>,
    /// In place of the resource's `service.name`.
    pub service_name: Option<String>,
    /// `OTEL_EXPORTER_OTLP_COMPRESSION` is set, or the same for traces.
    pub is_compressed: bool,
}

/// Why spans cannot be sent.
#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Exporter(#[from] ExporterBuildError),
    #[error("no HTTP client can be made")]
    Client(#[from] reqwest::Error),
    #[error("the count of spans cannot be registered")]
    Metrics(#[from] prometheus::Error),
}

/// A running exporter; cheap to clone.
#[derive(Clone)]
pub struct Exporter(Arc<Inner>);

struct Inner {
    batches: BatchSpanProcessor,
    scope: InstrumentationScope,
    /// Spans that wait to be sent.
    waiting: Arc<AtomicUsize>,
    queue: usize,
    metrics: Metrics,
}

/// `skep_spans_total` by what became of a span.
#[derive(Clone, Debug)]
struct Metrics {
    exported: prometheus::IntCounter,
    dropped: prometheus::IntCounter,
    failed: prometheus::IntCounter,
}

impl Metrics {
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        let options = prometheus::Opts::new(
            "skep_spans_total",
            "Spans by what became of them: exported, dropped because too many waited, or failed because the collector did not take them.",
        );
        let spans = prometheus::IntCounterVec::new(options, &["outcome"])?;
        registry.register(Box::new(spans.clone()))?;
        let of = |outcome| spans.with_label_values(&[outcome]);
        Ok(Self { exported: of("exported"), dropped: of("dropped"), failed: of("failed") })
    }
}

impl Exporter {
    /// Starts the thread that sends. `OTEL_EXPORTER_OTLP_HEADERS`, `…_COMPRESSION` and `OTEL_BSP_…` are read from the environment, each also with `_TRACES_` as the specification has it.
    ///
    /// # Errors
    ///
    /// When the endpoint is no URL, or one of these variables is not valid.
    pub fn start(config: Config, registry: &Registry, runtime: Handle) -> Result<Self, Error> {
        let metrics = Metrics::register(registry)?;
        let batch = Batch::default();
        let client = OnRuntime::new(runtime, config.timeout, batch.clone())?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(config.endpoint)
            .with_timeout(config.timeout)
            .build()?;
        let waiting = Arc::new(AtomicUsize::new(0));
        let resource = resource(config.resource, config.service_name);
        opentelemetry_sdk::trace::SpanExporter::set_resource(&mut exporter, &resource);
        let scope = InstrumentationScope::builder("skep").with_version(env!("CARGO_PKG_VERSION")).build();
        // The exporter compresses what it writes itself.
        let writer = (!config.is_compressed).then(|| Writer { encoder: Encoder::new(&resource, &scope), batch });
        let counted = Counted { exporter, waiting: Arc::clone(&waiting), metrics: metrics.clone(), writer };
        let batches = BatchConfigBuilder::default().with_max_queue_size(config.queue).build();
        Ok(Self(Arc::new(Inner {
            batches: BatchSpanProcessor::builder(counted).with_batch_config(batches).build(),
            scope,
            waiting,
            queue: config.queue,
            metrics,
        })))
    }

    /// Sends what waits and ends, within this time. Spans that end later are dropped.
    pub async fn end(&self, patience: Duration) {
        let inner = Arc::clone(&self.0);
        // It waits on a thread of its own, because the one that sends may not answer.
        let ended = spawn_blocking(move || inner.batches.shutdown_with_timeout(patience));
        match timeout(patience, ended).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => debug!(%error, "the last spans could not be sent"),
            Ok(Err(error)) => warn!(%error, "the last spans could not be sent"),
            Err(_) => debug!("the collector did not take the last spans in time"),
        }
    }
}

impl Sink for Exporter {
    fn send(&self, span: Finished) {
        let Inner { batches, scope, waiting, queue, metrics } = &*self.0;
        if waiting.fetch_add(1, Ordering::Relaxed) >= *queue {
            waiting.fetch_sub(1, Ordering::Relaxed);
            metrics.dropped.inc();
            return;
        }
        batches.on_end(data::of(span, scope));
    }
}

/// Later ones go before earlier ones.
fn resource(ours: Vec<(&'static str, String)>, service_name: Option<String>) -> Resource {
    let ours = ours.into_iter().map(|(name, value)| KeyValue::new(name, value));
    let named = service_name.map(|name| KeyValue::new("service.name", name));
    let environment = Box::new(EnvResourceDetector::new());
    Resource::builder_empty().with_attributes(ours).with_detector(environment).with_attributes(named).build()
}
