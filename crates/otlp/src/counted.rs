//! Counts what becomes of spans, and writes batches, around the exporter that sends them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};
use tracing::debug;

use crate::{Metrics, client::Batch, encode::Encoder};

#[derive(Debug)]
pub(crate) struct Counted<E> {
    pub(crate) exporter: E,
    pub(crate) waiting: Arc<AtomicUsize>,
    pub(crate) metrics: Metrics,
    /// Without one, the exporter writes batches itself.
    pub(crate) writer: Option<Writer>,
}

/// Writes batches in place of the exporter, which takes several times as long. All else of a request stays the exporter's: address, headers, retries.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) encoder: Encoder,
    pub(crate) batch: Batch,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        let exported = match &self.writer {
            Some(writer) => {
                writer.batch.set(Some(writer.encoder.batch(&batch)));
                drop(batch);
                let exported = self.exporter.export(Vec::new()).await;
                writer.batch.set(None);
                exported
            }
            None => self.exporter.export(batch).await,
        };
        match &exported {
            Ok(()) => self.metrics.exported.inc_by(count as u64),
            Err(error) => {
                debug!(%error, spans = count, "the collector did not take spans");
                self.metrics.failed.inc_by(count as u64);
            }
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
