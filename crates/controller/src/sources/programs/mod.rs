//! Runs the programs of sources, one of each, for as long as this controller leads.
//!
//! - `task.rs` keeps one program running; `pump.rs` makes events of what it prints, and acknowledges them to it.
//! - `acks.rs` is what waits to be written to its STDIN; `status.rs` is how it is doing.

mod acks;
mod pump;
mod status;
mod task;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use skep_bus::{ControllerBus, FromSource, Source, SourcesView};
use skep_protocol::{DefaultNamespace, SourceName, SourceProgramReport};
use skep_provider::{ProgramSpec, Programs as Provider};
use skep_sources::{Defaults, Kind, Program, Receiver};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub(crate) use self::status::ProgramMetrics;
use crate::subscriptions::Subscriptions;

use self::{
    status::Status,
    task::{Shared, Task},
};

/// The programs of all sources.
pub(crate) struct Programs {
    shared: Shared,
    declared: SourcesView<Declared>,
    running: Mutex<HashMap<SourceName, Running>>,
}

/// A source as its program's task needs it.
pub(super) struct Declared {
    /// `None` if it has no program, or is disabled.
    wanted: Option<Wanted>,
}

pub(super) struct Wanted {
    pub(super) receiver: Receiver,
    pub(super) program: Program,
    pub(super) paused: bool,
}

/// The manager's side of a task.
struct Running {
    wanted: watch::Sender<Arc<Declared>>,
    status: Arc<Status>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Programs {
    pub(crate) fn new(
        bus: ControllerBus,
        provider: Arc<dyn Provider>,
        metrics: ProgramMetrics,
        subscriptions: Arc<Subscriptions>,
    ) -> Self {
        Self {
            shared: Shared { bus, provider, metrics, subscriptions },
            declared: SourcesView::default(),
            running: Mutex::default(),
        }
    }

    /// Runs them until the term ends, and then ends them.
    pub(crate) async fn run(self: Arc<Self>, ending: CancellationToken) {
        let namespace = self.shared.bus.connection.default_namespace().clone();
        let follow = Box::pin(self.declared.follow(&self.shared.bus.sources, &namespace, &ending));
        let converge = async {
            let mut changes = self.declared.changes();
            let mut ended: HashMap<SourceName, JoinHandle<()>> = HashMap::new();
            loop {
                let known = changes.borrow_and_update().clone();
                self.converge(&known, &mut ended);
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = follow => {}
            () = converge => {}
            () = ending.cancelled() => {}
        }
        let running: Vec<Running> = self.lock().drain().map(|(_, running)| running).collect();
        running.iter().for_each(|running| running.stop.cancel());
        for running in running {
            // It reports its own failures.
            let _ = running.task.await;
        }
    }

    /// How the program of a source is doing, and its last lines.
    pub(crate) fn report(&self, source: &SourceName, lines: usize) -> SourceProgramReport {
        let program = self.lock().get(source).map(|running| running.status.get());
        let lines = if lines == 0 { Vec::new() } else { self.shared.provider.lines(source, lines) };
        SourceProgramReport { program, lines }
    }

    fn converge(&self, known: &HashMap<SourceName, Arc<Declared>>, ended: &mut HashMap<SourceName, JoinHandle<()>>) {
        let mut running = self.lock();
        let is_wanted = |name: &SourceName| known.get(name).is_some_and(|declared| declared.wanted.is_some());
        let gone: Vec<SourceName> = running.keys().filter(|name| !is_wanted(name)).cloned().collect();
        for name in gone {
            if let Some(running) = running.remove(&name) {
                running.stop.cancel();
                ended.insert(name.clone(), running.task);
            }
            if !known.contains_key(&name) {
                self.shared.provider.forget_source(&name);
            }
            self.shared.metrics.forget(&name);
        }
        for (name, declared) in known.iter().filter(|(name, _)| is_wanted(name)) {
            match running.get(name) {
                Some(running) => drop(running.wanted.send_replace(Arc::clone(declared))),
                None => {
                    let begun = self.begin(name, declared, ended.remove(name));
                    running.insert(name.clone(), begun);
                }
            }
        }
        ended.retain(|_, task| !task.is_finished());
    }

    /// Starts the task of a source, once the one before has ended.
    fn begin(&self, name: &SourceName, declared: &Arc<Declared>, before: Option<JoinHandle<()>>) -> Running {
        let (wanted, declared) = watch::channel(Arc::clone(declared));
        let (status, stop) = (Arc::new(Status::new(name, &self.shared.metrics)), CancellationToken::new());
        let (name, shared) = (name.clone(), self.shared.clone());
        let task = Task { name, shared, declared, status: Arc::clone(&status), stop: stop.clone() };
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                // It reports its own failures.
                let _ = before.await;
            }
            Box::pin(task.run()).await;
        });
        Running { wanted, status, stop, task }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SourceName, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a provider needs to know of a program.
pub(super) fn spec_of(program: &Program) -> ProgramSpec {
    ProgramSpec {
        command: program.command.clone(),
        workdir: program.workdir.clone(),
        environment: program.environment.clone(),
        secrets: program.secrets.clone(),
        sandbox: program.sandbox,
        reads_stdin: program.acks,
    }
}

impl FromSource for Declared {
    type Context = DefaultNamespace;

    fn from_source(source: &Source, namespace: &DefaultNamespace, _before: Option<&Self>) -> Self {
        let record = &source.record;
        // The status of the source says what cannot be read.
        let receiver = Receiver::from_spec(record.name.clone(), &record.spec, &Defaults::new(namespace)).ok();
        let wanted = receiver.and_then(|receiver| match receiver.kind() {
            Kind::Program(program) if !receiver.source().disabled => {
                Some(Wanted { program: program.clone(), paused: record.paused, receiver })
            }
            _ => None,
        });
        Self { wanted }
    }
}
