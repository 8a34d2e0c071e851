//! The figures of each function: found once per step of a call, without an allocation, and dropped when the function is long gone.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use skep_metrics::{TracedHistogram, TracedHistograms};
use skep_protocol::{CallState, DeadKind, FunctionName};
use skep_trace::TraceId;
use tokio::time::Instant;

/// How long the figures of a deleted function are shown.
const DELETED_TTL: Duration = Duration::from_secs(15 * 60);

/// The families with a label for the function.
#[derive(Clone)]
pub(super) struct Families {
    pub(super) in_flight: IntGaugeVec,
    pub(super) waited: TracedHistograms,
    pub(super) finished: IntCounterVec,
    pub(super) retries: IntCounterVec,
    pub(super) dead: IntCounterVec,
}

/// The figures of all functions that this worker has had calls of.
pub(super) struct Functions {
    families: Families,
    known: RwLock<HashMap<FunctionName, Known>>,
}

struct Known {
    metrics: Arc<FunctionMetrics>,
    /// Since when the function is not deployed any more.
    gone_since: Option<Instant>,
}

/// One function's figures.
pub(crate) struct FunctionMetrics {
    /// As the label has it.
    name: String,
    in_flight: IntGauge,
    waited: TracedHistogram,
    retries: IntCounter,
    /// By the state, from the first call that ended in it.
    finished: [OnceLock<IntCounter>; CallState::ALL.len()],
    families: Families,
}

/// A call that runs, until it is dropped.
pub(crate) struct InFlight(IntGauge);

impl Functions {
    pub(super) fn new(families: Families) -> Self {
        Self { families, known: RwLock::default() }
    }

    pub(super) fn of(&self, name: &FunctionName) -> Arc<FunctionMetrics> {
        if let Some(known) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(&known.metrics);
        }
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Known { metrics: Arc::new(FunctionMetrics::new(name, &self.families)), gone_since: None };
        Arc::clone(&all.entry(name.clone()).or_insert_with(new).metrics)
    }

    /// A call ended whose function is not deployed: a name from outside must not become a label.
    pub(super) fn count_end_of_unknown(&self, state: CallState) {
        self.families.finished.with_label_values(&["", state.as_str()]).inc();
    }

    pub(super) fn count_dead(&self, name: Option<&FunctionName>, kind: DeadKind) {
        let known = name.map(|name| self.of(name));
        let label = known.as_ref().map_or("", |known| known.name.as_str());
        self.families.dead.with_label_values(&[label, kind.as_str()]).inc();
    }

    /// Drops the figures of functions that have not been deployed for a while.
    pub(super) fn sweep(&self, is_deployed: impl Fn(&FunctionName) -> bool) {
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|name, known| {
            if is_deployed(name) {
                known.gone_since = None;
                return true;
            }
            let is_kept = known.gone_since.get_or_insert_with(Instant::now).elapsed() < DELETED_TTL;
            if !is_kept {
                self.families.remove(&known.metrics.name);
            }
            is_kept
        });
    }
}

impl Families {
    fn remove(&self, name: &str) {
        // What was never counted is missing.
        let _ = (self.in_flight.remove_label_values(&[name]), self.waited.remove_label_values(&[name]));
        let _ = self.retries.remove_label_values(&[name]);
        for state in CallState::ALL {
            let _ = self.finished.remove_label_values(&[name, state.as_str()]);
        }
        for kind in DeadKind::ALL {
            let _ = self.dead.remove_label_values(&[name, kind.as_str()]);
        }
    }
}

impl FunctionMetrics {
    fn new(name: &FunctionName, families: &Families) -> Self {
        let name = name.to_string();
        Self {
            in_flight: families.in_flight.with_label_values(&[&name]),
            waited: families.waited.with_label_values(&[&name]),
            retries: families.retries.with_label_values(&[&name]),
            finished: Default::default(),
            families: families.clone(),
            name,
        }
    }

    /// Counts a call as running until the guard is dropped.
    pub(crate) fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// A call has waited this long until its first attempt; its trace is given if that is sampled.
    pub(crate) fn observe_wait(&self, waited: Duration, sampled: Option<TraceId>) {
        self.waited.observe(waited.as_secs_f64(), sampled);
    }

    pub(crate) fn count_retry(&self) {
        self.retries.inc();
    }

    pub(crate) fn count_end(&self, state: CallState) {
        let Some(counter) = self.finished.get(state as usize) else { return };
        counter.get_or_init(|| self.families.finished.with_label_values(&[&self.name, state.as_str()])).inc();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;
    use tokio::time::advance;

    use super::*;
    use crate::metrics::Metrics;

    fn series(registry: &Registry) -> usize {
        let families = registry.gather();
        let of_functions = families.iter().flat_map(|family| family.get_metric());
        of_functions.filter(|one| one.get_label().iter().any(|label| label.name() == "function_name")).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_deleted_function_has_its_figures_for_a_while_and_names_from_outside_have_none() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        for _ in 0..100 {
            metrics.count_end(None, CallState::Dead);
            metrics.count_dead(None, DeadKind::Call);
        }
        assert_eq!(series(&registry), 2, "all that are not deployed are one");
        let name: FunctionName = "resize".parse().unwrap();
        let in_flight = metrics.of(&name).begin();
        metrics.of(&name).observe_wait(Duration::from_secs(1), None);
        CallState::ALL.iter().for_each(|state| metrics.count_end(Some(&name), *state));
        metrics.count_dead(Some(&name), DeadKind::Callback);
        drop(in_flight);
        let with_figures = series(&registry);
        assert_eq!(with_figures, 2 + 3 + CallState::ALL.len() + 1);

        metrics.sweep(|_| false);
        advance(DELETED_TTL - Duration::from_secs(1)).await;
        metrics.sweep(|_| false);
        assert_eq!(series(&registry), with_figures, "the last figures can be collected");
        metrics.sweep(|_| true);
        advance(Duration::from_secs(2)).await;
        metrics.sweep(|_| false);
        assert_eq!(series(&registry), with_figures, "it was deployed again meanwhile");
        advance(DELETED_TTL).await;
        metrics.sweep(|_| false);
        assert_eq!(series(&registry), 2);
    }
}
