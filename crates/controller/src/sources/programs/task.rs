//! Keeps the program of one source running: one that ends, however it ends, is started again after a delay.

use std::{pin::pin, sync::Arc, time::Duration};

use skep_backoff::Backoff;
use skep_bus::ControllerBus;
use skep_protocol::{SourceName, error_chain};
use skep_provider::{ProgramProcess, Programs, StartedProgram};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Declared,
    pump::Pump,
    spec_of,
    status::{ProgramMetrics, Status},
};
use crate::subscriptions::Subscriptions;

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
/// After a program that ran this long, the delays begin again.
const MIN_GOOD_RUN: Duration = Duration::from_secs(10);
/// How long a program may take to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long what it has printed last may take to be stored.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// A program that has closed its STDOUT has ended within this time, or is ended.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);
/// The last lines of its log that are reported when it ends.
const LAST_LINES: usize = 3;
const MAX_LAST_LINES: usize = 500;

/// What all programs have in common.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) bus: ControllerBus,
    pub(super) provider: Arc<dyn Programs>,
    pub(super) metrics: ProgramMetrics,
    pub(super) subscriptions: Arc<Subscriptions>,
}

pub(super) struct Task {
    pub(super) name: SourceName,
    pub(super) shared: Shared,
    /// The source as it is declared; it always wants a program.
    pub(super) declared: watch::Receiver<Arc<Declared>>,
    pub(super) status: Arc<Status>,
    pub(super) stop: CancellationToken,
}

/// How one run of the program ended.
enum Run {
    Stopped,
    /// The declaration wants it run in another way.
    Changed,
    Failed(String),
}

impl Task {
    pub(super) async fn run(mut self) {
        let mut delays = BACKOFF.delays();
        loop {
            let begun = Instant::now();
            let reason = match self.run_once().await {
                Run::Stopped => break,
                Run::Changed => {
                    delays.reset();
                    self.status.starts_again();
                    continue;
                }
                Run::Failed(reason) => reason,
            };
            if begun.elapsed() >= MIN_GOOD_RUN {
                delays.reset();
            }
            let pause = delays.next_delay();
            warn!(source = %self.name, reason, ?pause, "the program of a source ended and is started again");
            let failure = self.with_last_lines(&reason);
            self.shared
                .provider
                .note(&self.name, format!("skep: the program {reason}; it is started again in {pause:?}"));
            self.status.failed(failure);
            let stop = self.stop.clone();
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(pause) => {}
                () = self.changed_to_another() => delays.reset(),
            }
            self.status.starts_again();
        }
        self.status.stopped();
        info!(source = %self.name, "the program of a source has ended");
    }

    async fn run_once(&mut self) -> Run {
        let declared = self.declared.borrow_and_update().clone();
        let Some(wanted) = &declared.wanted else { return Run::Stopped };
        let spec = spec_of(&wanted.program);
        let started = match self.shared.provider.start_program(&self.name, &spec).await {
            Ok(started) => started,
            Err(error) => return Run::Failed(format!("could not be started: {}", error_chain(&error))),
        };
        let StartedProgram { pid, stdout, stdin, mut process } = started;
        info!(source = %self.name, pid, "the program of a source is started");
        self.status.started(pid);
        let (declared, status) = (self.declared.clone(), Arc::clone(&self.status));
        let mut pump = Pump::new(&self.shared, declared, status, (stdin, wanted.program.acks), &wanted.program);
        let mut pumping = pin!(pump.run(stdout));
        let stop = self.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {
                end(process, pumping).await;
                Run::Stopped
            }
            () = self.changed_to_another() => {
                end(process, pumping).await;
                Run::Changed
            }
            pumped = &mut pumping => {
                let reason = match (pumped, timeout(EXIT_TIMEOUT, process.ended()).await) {
                    (_, Ok(ended)) => ended,
                    (Ok(()), Err(_)) => "closed its STDOUT and went on".to_owned(),
                    (Err(reason), Err(_)) => reason,
                };
                process.stop(PATIENCE).await;
                Run::Failed(reason)
            }
            ended = process.ended() => {
                // What it has printed is still read.
                let drained = timeout(DRAIN_TIMEOUT, pumping).await;
                process.stop(PATIENCE).await;
                Run::Failed(if drained.is_ok() { ended } else { format!("{ended}, and not all that it printed is stored") })
            }
        }
    }

    /// Returns when the declaration wants another program than it did, or the same one run in another way.
    async fn changed_to_another(&mut self) {
        let program = |declared: &Declared| declared.wanted.as_ref().map(|wanted| wanted.program.clone());
        let before = program(&self.declared.borrow_and_update());
        // Without a sender it is stopped.
        if self.declared.wait_for(|declared| program(declared) != before).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn with_last_lines(&self, reason: &str) -> String {
        let lines = self.shared.provider.lines(&self.name, LAST_LINES);
        let lines: Vec<&str> =
            lines.iter().map(|line| line.text.as_str()).filter(|line| !line.starts_with("skep: ")).collect();
        if lines.is_empty() {
            return format!("the program {reason}");
        }
        let lines: String = lines.join(" | ").chars().take(MAX_LAST_LINES).collect();
        format!("the program {reason}; its last lines: {lines}")
    }
}

/// Ends a program while what it prints is still read.
async fn end(process: Box<dyn ProgramProcess>, pumping: impl Future<Output = Result<(), String>>) {
    let (_, _) = tokio::join!(process.stop(PATIENCE), timeout(DRAIN_TIMEOUT, pumping));
}
