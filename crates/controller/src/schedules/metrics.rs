//! Counts of the planner.

use prometheus::{IntCounterVec, Opts, Registry};
use skep_protocol::SourceName;

/// What the planner counts; cheap to clone.
#[derive(Clone)]
pub struct ScheduleMetrics {
    planned: IntCounterVec,
    missed: IntCounterVec,
}

impl ScheduleMetrics {
    /// Registers them, once in a process.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name, help| IntCounterVec::new(Opts::new(name, help), &["source"]);
        let planned = counter("controller_schedule_planned_total", "Calls of schedules that were planned ahead.")?;
        let missed = counter(
            "controller_schedule_missed_total",
            "Occurrences that nobody could plan in time, and that did not run for it.",
        )?;
        registry.register(Box::new(planned.clone()))?;
        registry.register(Box::new(missed.clone()))?;
        Ok(Self { planned, missed })
    }

    pub(super) fn count_planned(&self, source: &SourceName) {
        self.planned.with_label_values(&[source.as_str()]).inc();
    }

    pub(super) fn count_missed(&self, source: &SourceName, missed: u64) {
        self.missed.with_label_values(&[source.as_str()]).inc_by(missed);
    }
}
