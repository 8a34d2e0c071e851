//! Counts of function calls, by the names that OpenFaaS dashboards and alerts use.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use http::StatusCode;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use skep_protocol::FunctionName;

const FUNCTION: &str = "function_name";
const CODE: &str = "code";

/// The families; one set per process.
pub(crate) struct Metrics {
    started: IntCounterVec,
    finished: IntCounterVec,
    seconds: HistogramVec,
    replicas: IntGaugeVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            started: IntCounterVec::new(
                Opts::new("gateway_function_invocation_started", "Calls of a function that were begun."),
                &[FUNCTION],
            )?,
            finished: IntCounterVec::new(
                Opts::new("gateway_function_invocation_total", "Calls of a function that ended, by HTTP status."),
                &[FUNCTION, CODE],
            )?,
            seconds: HistogramVec::new(
                HistogramOpts::new("gateway_functions_seconds", "Seconds that calls of a function took."),
                &[FUNCTION, CODE],
            )?,
            replicas: IntGaugeVec::new(
                Opts::new("gateway_service_count", "Replicas of a function that are wanted."),
                &[FUNCTION],
            )?,
        };
        registry.register(Box::new(metrics.started.clone()))?;
        registry.register(Box::new(metrics.finished.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.replicas.clone()))?;
        Ok(metrics)
    }

    /// Resolves one function's labels, once per deploy and not per call.
    pub(crate) fn of_function(self: &Arc<Self>, name: &FunctionName) -> FunctionMetrics {
        let name = name.to_string();
        FunctionMetrics {
            started: self.started.with_label_values(&[&name]),
            replicas: self.replicas.with_label_values(&[&name]),
            name,
            by_code: ArcSwap::default(),
            families: Arc::clone(self),
        }
    }

    /// Forgets the gauge of a function that is gone; its counters stay, as counters must.
    pub(crate) fn forget(&self, name: &FunctionName) {
        // It is only missing when it was never set.
        let _ = self.replicas.remove_label_values(&[&name.to_string()]);
    }
}

/// One function's counters.
pub(crate) struct FunctionMetrics {
    /// As the label has it: without the default namespace, and with every other one.
    name: String,
    started: IntCounter,
    replicas: IntGauge,
    /// A function answers with few different codes, so a short list is searched.
    by_code: ArcSwap<Vec<(StatusCode, IntCounter, Histogram)>>,
    families: Arc<Metrics>,
}

impl FunctionMetrics {
    pub(crate) fn set_replicas(&self, wanted: u64) {
        self.replicas.set(i64::try_from(wanted).unwrap_or(i64::MAX));
    }

    pub(crate) fn count_start(&self) {
        self.started.inc();
    }

    pub(crate) fn count_end(&self, code: StatusCode, took: Duration) {
        let known = self.by_code.load();
        let found = known.iter().find(|(known, ..)| *known == code);
        if let Some((_, counter, histogram)) = found {
            counter.inc();
            histogram.observe(took.as_secs_f64());
            return;
        }
        let labels = [self.name.as_str(), code.as_str()];
        let counter = self.families.finished.with_label_values(&labels);
        let histogram = self.families.seconds.with_label_values(&labels);
        counter.inc();
        histogram.observe(took.as_secs_f64());
        self.by_code.rcu(|known| {
            // Another one may have found it by now.
            let others = known.iter().filter(|(known, ..)| *known != code).cloned();
            others.chain([(code, counter.clone(), histogram.clone())]).collect::<Vec<_>>()
        });
    }

    /// Calls that ended, whatever their status.
    pub(crate) fn ended(&self) -> u64 {
        self.by_code.load().iter().map(|(_, counter, _)| counter.get()).sum()
    }
}
