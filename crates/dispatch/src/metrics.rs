//! Counts of function calls, by the names that OpenFaaS dashboards and alerts use.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use http::StatusCode;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use skep_protocol::{FunctionName, status_label, status_of_class};
use tokio::time::Instant;

const FUNCTION: &str = "function_name";
const CODE: &str = "code";
/// Statuses of one function that have figures of their own; further ones count for their class, because each is a histogram.
const MAX_CODES: usize = 16;
/// How long the counters of a deleted function are shown.
const DELETED_TTL: Duration = Duration::from_secs(15 * 60);

/// The families; one set per process.
pub(crate) struct Metrics {
    started: IntCounterVec,
    finished: IntCounterVec,
    seconds: HistogramVec,
    replicas: IntGaugeVec,
    under_way: AtomicUsize,
    /// Functions that were deleted, and when.
    gone: Mutex<HashMap<String, Instant>>,
}

impl Metrics {
    /// Calls of all functions that have begun and not ended.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

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
            under_way: AtomicUsize::new(0),
            gone: Mutex::default(),
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
        self.gone().remove(&name);
        FunctionMetrics {
            started: self.started.with_label_values(&[&name]),
            replicas: self.replicas.with_label_values(&[&name]),
            name,
            by_code: ArcSwap::default(),
            families: Arc::clone(self),
        }
    }

    /// Forgets the gauge of a function that is gone; its counters stay for a while, so that their last values are collected.
    pub(crate) fn forget(&self, name: &FunctionName) {
        let name = name.to_string();
        // It is only missing when it was never set.
        let _ = self.replicas.remove_label_values(&[&name]);
        self.gone().insert(name, Instant::now());
    }

    /// Drops the counters of functions that have been gone for a while.
    pub(crate) fn sweep(&self) {
        let long_gone = self.gone().extract_if(|_, since| since.elapsed() >= DELETED_TTL).collect::<Vec<_>>();
        for (name, _) in long_gone {
            // What was never counted is missing.
            let _ = self.started.remove_label_values(&[&name]);
            for status in (100..1000).filter_map(|code| StatusCode::from_u16(code).ok()) {
                let labels = [name.as_str(), status_label(&status)];
                let _ = (self.finished.remove_label_values(&labels), self.seconds.remove_label_values(&labels));
            }
        }
    }

    fn gone(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.families.under_way.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_end(&self, code: StatusCode, took: Duration) {
        self.families.under_way.fetch_sub(1, Ordering::Relaxed);
        let known = self.by_code.load();
        let found = |code| known.iter().find(|(known, ..)| *known == code);
        let has_own_figures = code.canonical_reason().is_some() && (known.len() < MAX_CODES || found(code).is_some());
        let code = if has_own_figures { code } else { status_of_class(code) };
        if let Some((_, counter, histogram)) = found(code) {
            counter.inc();
            histogram.observe(took.as_secs_f64());
            return;
        }
        let labels = [self.name.as_str(), status_label(&code)];
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

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn series(registry: &Registry) -> usize {
        registry.gather().iter().map(|family| family.get_metric().len()).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn a_function_makes_few_series_whatever_it_answers_and_none_when_it_is_long_gone() {
        let registry = Registry::new();
        let metrics = Arc::new(Metrics::register(&registry).unwrap());
        assert_eq!(series(&registry), 0);
        let name: FunctionName = "inventive".parse().unwrap();
        let function = metrics.of_function(&name);
        assert_eq!(series(&registry), 2, "what was not counted has no series");
        for code in 100..1000 {
            function.count_start();
            function.count_end(StatusCode::from_u16(code).unwrap(), Duration::ZERO);
        }
        assert_eq!((function.ended(), metrics.under_way()), (900, 0));
        // Of each code a counter and a histogram, and of the function a counter and a gauge.
        let most = 2 * (MAX_CODES + 6) + 2;
        assert!(series(&registry) <= most, "{}", series(&registry));
        metrics.forget(&name);
        advance(DELETED_TTL - Duration::from_secs(1)).await;
        metrics.sweep();
        assert!(series(&registry) > MAX_CODES, "the last figures can be collected");
        advance(Duration::from_secs(1)).await;
        metrics.sweep();
        assert_eq!(series(&registry), 0);
        metrics.forget(&name);
        let _again = metrics.of_function(&name);
        advance(2 * DELETED_TTL).await;
        metrics.sweep();
        assert!(series(&registry) > 0, "it is there again");
    }
}
