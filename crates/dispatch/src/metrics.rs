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
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use skep_metrics::{TracedHistogram, TracedHistograms};
use skep_protocol::{CallTimes, FunctionName, TIME_BOUNDS, status_label, status_of_class};
use skep_trace::TraceId;
use tokio::time::Instant;

const FUNCTION: &str = "function_name";
const CODE: &str = "code";

const STARTED: (&str, &str) = ("gateway_function_invocation_started", "Calls of a function that were begun.");
const FINISHED: (&str, &str) = ("gateway_function_invocation_total", "Calls of a function that ended, by HTTP status.");
const SECONDS: (&str, &str) = ("gateway_functions_seconds", "Seconds that calls of a function took.");
const WANTED: (&str, &str) = ("gateway_service_count", "Replicas of a function that are wanted.");
const COLD_START: (&str, &str) =
    ("skep_cold_start_seconds", "Seconds that calls waited for the first replica of their function.");
/// What [`FunctionGauges`](crate::function_gauges::FunctionGauges) reads from the registry.
pub(crate) const READY: (&str, &str) =
    ("gateway_service_ready_count", "Replicas of a function that can be called, as the process sees it that is asked.");
pub(crate) const MIN: (&str, &str) = ("gateway_service_min", "The fewest replicas that a function is scaled to.");
pub(crate) const MAX: (&str, &str) = ("gateway_service_max", "The most replicas that a function is scaled to.");
pub(crate) const TARGET: (&str, &str) =
    ("gateway_service_target", "What one replica of a function should have, in the unit of its type of scaling.");
/// The same under the name by which OpenFaaS's recording rules find the functions of a type.
pub(crate) const TARGET_LOAD: (&str, &str) =
    ("gateway_service_target_load", "What one replica of a function should have, by its type of scaling.");
pub(crate) const IN_FLIGHT: (&str, &str) = (
    "gateway_function_invocation_inflight",
    "Calls of a function that the process has under way that is asked; those that wait for a replica are among them.",
);

const COLD_START_BUCKETS: [f64; 10] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Statuses of one function that have figures of their own; further ones count for their class, because each is a histogram.
const MAX_CODES: usize = 16;
/// How long the counters of a deleted function are shown.
const DELETED_TTL: Duration = Duration::from_secs(15 * 60);

/// The families; one set per process.
pub(crate) struct Metrics {
    started: IntCounterVec,
    finished: IntCounterVec,
    seconds: TracedHistograms,
    replicas: IntGaugeVec,
    cold_start: HistogramVec,
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
        let seconds = HistogramOpts::new(SECONDS.0, SECONDS.1).buckets(TIME_BOUNDS.to_vec());
        let cold_start = HistogramOpts::new(COLD_START.0, COLD_START.1).buckets(COLD_START_BUCKETS.to_vec());
        let metrics = Self {
            started: IntCounterVec::new(Opts::new(STARTED.0, STARTED.1), &[FUNCTION])?,
            finished: IntCounterVec::new(Opts::new(FINISHED.0, FINISHED.1), &[FUNCTION, CODE])?,
            seconds: TracedHistograms::new(seconds, &[FUNCTION, CODE])?,
            replicas: IntGaugeVec::new(Opts::new(WANTED.0, WANTED.1), &[FUNCTION])?,
            cold_start: HistogramVec::new(cold_start, &[FUNCTION])?,
            under_way: AtomicUsize::new(0),
            gone: Mutex::default(),
        };
        registry.register(Box::new(metrics.started.clone()))?;
        registry.register(Box::new(metrics.finished.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.replicas.clone()))?;
        registry.register(Box::new(metrics.cold_start.clone()))?;
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
            let _ = (self.started.remove_label_values(&[&name]), self.cold_start.remove_label_values(&[&name]));
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

/// The calls of a function that this process has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Those that have ended.
    pub ended: u64,
    /// Those of them that ended with a status of 500 or more.
    pub failed: u64,
    /// How long they took together.
    pub seconds: f64,
}

/// One function's counters.
pub(crate) struct FunctionMetrics {
    /// As the label has it: without the default namespace, and with every other one.
    name: String,
    started: IntCounter,
    replicas: IntGauge,
    /// A function answers with few different codes, so a short list is searched.
    by_code: ArcSwap<Vec<(StatusCode, IntCounter, TracedHistogram)>>,
    families: Arc<Metrics>,
}

impl FunctionMetrics {
    pub(crate) fn set_replicas(&self, wanted: u64) {
        self.replicas.set(i64::try_from(wanted).unwrap_or(i64::MAX));
    }

    /// A call has waited this long for the first replica.
    pub(crate) fn count_cold_start(&self, waited: Duration) {
        self.families.cold_start.with_label_values(&[&self.name]).observe(waited.as_secs_f64());
    }

    pub(crate) fn count_start(&self) {
        self.started.inc();
        self.families.under_way.fetch_add(1, Ordering::Relaxed);
    }

    /// A call has ended; its trace is given if that is sampled.
    pub(crate) fn count_end(&self, code: StatusCode, took: Duration, sampled: Option<TraceId>) {
        self.families.under_way.fetch_sub(1, Ordering::Relaxed);
        let known = self.by_code.load();
        let found = |code| known.iter().find(|(known, ..)| *known == code);
        let has_own_figures = code.canonical_reason().is_some() && (known.len() < MAX_CODES || found(code).is_some());
        let code = if has_own_figures { code } else { status_of_class(code) };
        if let Some((_, counter, histogram)) = found(code) {
            counter.inc();
            histogram.observe(took.as_secs_f64(), sampled);
            return;
        }
        let labels = [self.name.as_str(), status_label(&code)];
        let counter = self.families.finished.with_label_values(&labels);
        let histogram = self.families.seconds.with_label_values(&labels);
        counter.inc();
        histogram.observe(took.as_secs_f64(), sampled);
        self.by_code.rcu(|known| {
            // Another one may have found it by now.
            let others = known.iter().filter(|(known, ..)| *known != code).cloned();
            others.chain([(code, counter.clone(), histogram.clone())]).collect::<Vec<_>>()
        });
    }

    /// What was counted so far.
    pub(crate) fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        for (code, counter, histogram) in self.by_code.load().iter() {
            figures.ended += counter.get();
            figures.failed += if code.is_server_error() { counter.get() } else { 0 };
            figures.seconds += histogram.sum();
        }
        figures
    }

    /// How long the calls took that were counted so far.
    pub(crate) fn times(&self) -> CallTimes {
        let mut times = CallTimes::default();
        for (.., histogram) in self.by_code.load().iter() {
            histogram.counts().into_iter().enumerate().for_each(|(bucket, calls)| times.count(bucket, calls));
        }
        times
    }

    /// Calls that were begun.
    pub(crate) fn started(&self) -> u64 {
        self.started.get()
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
            function.count_end(StatusCode::from_u16(code).unwrap(), Duration::ZERO, None);
        }
        assert_eq!((function.ended(), metrics.under_way()), (900, 0));
        function.count_cold_start(Duration::from_secs(1));
        // Of each code a counter and a histogram, and of the function a counter, a gauge and the cold starts.
        let most = 2 * (MAX_CODES + 6) + 3;
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
