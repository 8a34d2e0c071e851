//! How functions are scaled, in figures.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};
use skep_protocol::FunctionStats;

const FUNCTION: &str = "function_name";
const NEED: (&str, &str) =
    ("skep_scaling_need", "Replicas that the last seconds of a function in use call for, before all bounds.");
const LOAD: (&str, &str) = ("skep_scaling_load", "Calls of a function in use that run at once, on average.");
const WAITING: (&str, &str) = ("skep_scaling_waiting", "Calls that wait for a replica or a slot of a function in use.");
const DUE: (&str, &str) = ("skep_scaling_due", "Calls that come due soon, of a function in use or with such calls.");
const CHANGES: (&str, &str) = ("skep_scaling_changes_total", "Changes of the number of replicas of any function.");

/// Figures of the controller that leads; cheap to clone.
#[derive(Clone)]
pub(crate) struct ScalingMetrics {
    need: IntGaugeVec,
    load: GaugeVec,
    waiting: IntGaugeVec,
    due: IntGaugeVec,
    changes: IntCounterVec,
}

impl ScalingMetrics {
    /// Registers them, once in a process.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            need: IntGaugeVec::new(Opts::new(NEED.0, NEED.1), &[FUNCTION])?,
            load: GaugeVec::new(Opts::new(LOAD.0, LOAD.1), &[FUNCTION])?,
            waiting: IntGaugeVec::new(Opts::new(WAITING.0, WAITING.1), &[FUNCTION])?,
            due: IntGaugeVec::new(Opts::new(DUE.0, DUE.1), &[FUNCTION])?,
            changes: IntCounterVec::new(Opts::new(CHANGES.0, CHANGES.1), &["direction"])?,
        };
        registry.register(Box::new(metrics.need.clone()))?;
        registry.register(Box::new(metrics.load.clone()))?;
        registry.register(Box::new(metrics.waiting.clone()))?;
        registry.register(Box::new(metrics.due.clone()))?;
        registry.register(Box::new(metrics.changes.clone()))?;
        Ok(metrics)
    }

    /// Shows a second: the functions in use, and no others.
    pub(crate) fn show(&self, functions: &[FunctionStats]) {
        self.clear();
        for function in functions {
            if let Some(change) = &function.scaled {
                let direction = if change.to > change.from { "up" } else { "down" };
                self.changes.with_label_values(&[direction]).inc();
            }
            let Some(scaling) = &function.scaling else { continue };
            let name = function.name.to_string();
            let set = |gauge: &IntGaugeVec, value: u64| {
                gauge.with_label_values(&[&name]).set(value.try_into().unwrap_or(i64::MAX));
            };
            scaling.need.into_iter().for_each(|need| set(&self.need, need));
            scaling.waiting.into_iter().for_each(|waiting| set(&self.waiting, waiting));
            scaling.due.into_iter().for_each(|due| set(&self.due, due));
            scaling.load.into_iter().for_each(|load| self.load.with_label_values(&[&name]).set(load));
        }
    }

    fn clear(&self) {
        self.need.reset();
        self.load.reset();
        self.waiting.reset();
        self.due.reset();
    }
}

/// The figures as long as this controller leads; then another one has them.
pub(crate) struct Shown(pub(crate) ScalingMetrics);

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.clear();
    }
}
