//! How a program is doing, for people and for metrics.

use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use skep_protocol::{ProgramState, SourceName, SourceProgram};

/// Figures of all programs; cheap to clone.
#[derive(Clone)]
pub(crate) struct ProgramMetrics {
    up: IntGaugeVec,
    restarts: IntCounterVec,
    messages: IntCounterVec,
}

impl ProgramMetrics {
    /// Registers them, once in a process.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let up = Opts::new("controller_source_program_up", "1 if the program of a source runs, else 0.");
        let restarts = Opts::new("controller_source_program_restarts_total", "Starts of programs after the first one.");
        let messages = Opts::new(
            "controller_source_program_messages_total",
            "Messages that programs of sources have printed, by what became of them.",
        );
        let metrics = Self {
            up: IntGaugeVec::new(up, &["source"])?,
            restarts: IntCounterVec::new(restarts, &["source"])?,
            messages: IntCounterVec::new(messages, &["source", "outcome"])?,
        };
        registry.register(Box::new(metrics.up.clone()))?;
        registry.register(Box::new(metrics.restarts.clone()))?;
        registry.register(Box::new(metrics.messages.clone()))?;
        Ok(metrics)
    }

    pub(super) fn forget(&self, source: &SourceName) {
        // What was never set cannot be removed.
        let _ = self.up.remove_label_values(&[source.as_str()]);
    }
}

/// How one program is doing.
pub(super) struct Status {
    source: SourceName,
    metrics: ProgramMetrics,
    now: Mutex<SourceProgram>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    Duplicate,
}

impl Status {
    pub(super) fn new(source: &SourceName, metrics: &ProgramMetrics) -> Self {
        let now = SourceProgram {
            state: ProgramState::Waiting,
            pid: None,
            since: skep_bus::now(),
            restarts: 0,
            events: 0,
            refused: 0,
            last_error: None,
            last_refused: None,
        };
        Self { source: source.clone(), metrics: metrics.clone(), now: Mutex::new(now) }
    }

    pub(super) fn get(&self) -> SourceProgram {
        self.lock().clone()
    }

    pub(super) fn started(&self, pid: Option<u32>) {
        self.set(ProgramState::Running, pid);
    }

    pub(super) fn failed(&self, reason: String) {
        self.set(ProgramState::Waiting, None);
        self.lock().last_error = Some(reason);
    }

    pub(super) fn stopped(&self) {
        self.set(ProgramState::Stopped, None);
    }

    pub(super) fn starts_again(&self) {
        self.lock().restarts += 1;
        self.metrics.restarts.with_label_values(&[self.source.as_str()]).inc();
    }

    pub(super) fn stored(&self, outcome: Outcome) {
        self.lock().events += u64::from(outcome == Outcome::Accepted);
        self.count(match outcome {
            Outcome::Accepted => "accepted",
            Outcome::Duplicate => "duplicate",
        });
    }

    pub(super) fn refused(&self, reason: String) {
        let mut now = self.lock();
        now.refused += 1;
        now.last_refused = Some(reason);
        drop(now);
        self.count("refused");
    }

    /// What holds it up although it runs; `None` when that is over.
    pub(super) fn held_up(&self, reason: Option<String>) {
        self.lock().last_error = reason;
    }

    fn count(&self, outcome: &str) {
        self.metrics.messages.with_label_values(&[self.source.as_str(), outcome]).inc();
    }

    fn set(&self, state: ProgramState, pid: Option<u32>) {
        let mut now = self.lock();
        (now.state, now.pid, now.since) = (state, pid, skep_bus::now());
        drop(now);
        self.metrics.up.with_label_values(&[self.source.as_str()]).set((state == ProgramState::Running).into());
    }

    fn lock(&self) -> MutexGuard<'_, SourceProgram> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
