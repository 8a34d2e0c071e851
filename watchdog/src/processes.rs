//! The processes that the watchdog started, and the end of each of them with everything that it started itself.

use std::{
    collections::HashMap,
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{ChildStderr, ChildStdout, Command, ExitStatus},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use skep_process::{
    Orphan, ProcessTag, adopt_orphans, kill_descendants, kill_orphan, kill_tree, orphans, reap, terminate_group,
};
use tokio::{
    net::unix::pipe::Receiver,
    runtime::Handle,
    sync::Notify,
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

use crate::{
    child::Child,
    lines::{Origin, copy_lines},
    log::Log,
    metrics::{Kill, Metrics},
    plan::Plan,
};

/// A killed process ends at once, unless the kernel holds it.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// The earliest search, after a call, for processes that it left behind.
const SWEEP_DELAY: Duration = Duration::from_millis(500);
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// All of them.
#[derive(Debug)]
pub(crate) struct Processes {
    tag: ProcessTag,
    /// Read while a process is started: who holds it for writing knows that each of the watchdog's own is among the leaders.
    starting: RwLock<()>,
    leaders: Mutex<Leaders>,
    ended: Notify,
    runtime: Handle,
    tasks: TaskTracker,
    log: Log,
    metrics: Arc<Metrics>,
    /// Nobody was here before: an orphan that hides its tag comes from a call, and not from what an entry point started before it became the watchdog.
    alone: bool,
}

/// One process that was started here; if it is dropped while it runs, its tree is killed.
#[derive(Debug)]
pub(crate) struct Spawned {
    /// `None` once it was waited for: from then on its id may be another's.
    child: Option<Child>,
    pid: u32,
    tag: ProcessTag,
    processes: Arc<Processes>,
    when_dropped: Kill,
    /// It was dropped, and this is what a task that kills it holds.
    is_let_go: bool,
}

#[derive(Debug, Default)]
struct Leaders {
    by_pid: HashMap<u32, Leader>,
    count: u64,
}

#[derive(Clone, Debug)]
struct Leader {
    tag: ProcessTag,
    /// `None` while it waits for a request.
    number: Option<u64>,
}

impl Processes {
    /// Needs to run inside of the runtime; `tasks` are waited for at the end.
    pub(crate) fn new(plan: &Plan, tasks: TaskTracker, log: Log, metrics: Arc<Metrics>) -> io::Result<Arc<Self>> {
        adopt_orphans()?;
        Ok(Arc::new(Self {
            tag: plan.tag(),
            starting: RwLock::default(),
            leaders: Mutex::default(),
            ended: Notify::new(),
            runtime: Handle::current(),
            tasks,
            log,
            metrics,
            alone: orphans(|_| false).is_empty(),
        }))
    }

    /// Starts a process as leader of a group of its own. It costs about half a millisecond in the kernel, less than handing it to another thread would gain.
    pub(crate) fn spawn(self: &Arc<Self>, command: &mut Command) -> io::Result<Spawned> {
        let tag = self.tag.within();
        command.env(ProcessTag::VARIABLE, tag.as_str()).process_group(0);
        let starting = self.starting.read().unwrap_or_else(PoisonError::into_inner);
        let begun = Instant::now();
        let child = Child::new(command.spawn()?);
        self.metrics.count_start(begun.elapsed());
        let pid = child.id();
        self.leaders().add(pid, tag.clone());
        drop(starting);
        let processes = Arc::clone(self);
        Ok(Spawned { child: Some(child), pid, tag, processes, when_dropped: Kill::CallerGone, is_let_go: false })
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Where work goes on that belongs to no call any more.
    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Copies what a process writes to the log, until the end of it.
    pub(crate) fn relay(&self, output: impl Into<OwnedFd>, origin: Origin) {
        match Receiver::from_owned_fd(output.into()) {
            Ok(output) => drop(self.tasks.spawn(copy_lines(output, origin, self.log.clone()))),
            Err(error) => self.log.say(&format!("Cannot read {} of the function: {error}", origin.stream)),
        }
    }

    /// Reaps and kills what calls left behind, soon after each, until it is dropped.
    pub(crate) async fn sweep(self: Arc<Self>) {
        let mut suspects = HashMap::new();
        loop {
            // Neither end of the wait is a failure: it looks now and then in any case.
            let _ = timeout(SWEEP_INTERVAL, self.ended.notified()).await;
            let begun = Instant::now();
            let processes = Arc::clone(&self);
            let swept = spawn_blocking(move || {
                processes.sweep_once(&mut suspects);
                suspects
            });
            suspects = swept.await.unwrap_or_default();
            // Where thousands of processes make a look slow it takes no more than a twentieth of a core.
            sleep(SWEEP_DELAY.max(begun.elapsed() * 20)).await;
        }
    }

    /// Kills everything that was ever started here.
    pub(crate) async fn kill_all(&self) {
        let tag = self.tag.clone();
        let _ = spawn_blocking(move || kill_descendants(&tag)).await;
    }

    /// `suspects` are orphans without a tag, and which number the next leader had when they were seen first.
    fn sweep_once(&self, suspects: &mut HashMap<(u32, u64), u64>) {
        let found = orphans(|pid| self.leaders().by_pid.contains_key(&pid));
        if found.is_empty() {
            suspects.clear();
            return;
        }
        let starting = self.starting.write().unwrap_or_else(PoisonError::into_inner);
        let (leaders, count) = self.leaders().snapshot();
        drop(starting);
        let mut seen = HashMap::new();
        for orphan in found.iter().filter(|orphan| !leaders.contains_key(&orphan.pid)) {
            match self.fate(orphan, &leaders, count, suspects) {
                Fate::Reap => reap(orphan),
                Fate::KillTree(tag) => drop(kill_tree(None, &tag)),
                Fate::Kill => kill_orphan(orphan),
                Fate::Keep => {}
                Fate::Watch(since) => drop(seen.insert((orphan.pid, orphan.started), since)),
            }
        }
        *suspects = seen;
    }

    fn fate(
        &self,
        orphan: &Orphan,
        leaders: &HashMap<u32, Leader>,
        count: u64,
        suspects: &HashMap<(u32, u64), u64>,
    ) -> Fate {
        if orphan.dead {
            return Fate::Reap;
        }
        // A tag that is not within the own one is from outside, and covers the calls that run.
        if let Some(value) = orphan.tag.as_ref().filter(|value| self.tag.covers(value)) {
            let owned = leaders.values().any(|leader| leader.tag.covers(value));
            return if owned { Fate::Keep } else { Fate::KillTree(ProcessTag::of(value)) };
        }
        if !self.alone {
            return Fate::Keep;
        }
        // It hides its tag: it goes when all are gone that could have started it.
        let since = suspects.get(&(orphan.pid, orphan.started)).copied().unwrap_or(count);
        if leaders.values().any(|leader| leader.number.is_some_and(|number| number < since)) {
            Fate::Watch(since)
        } else {
            Fate::Kill
        }
    }

    fn leaders(&self) -> MutexGuard<'_, Leaders> {
        self.leaders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Fate {
    Reap,
    KillTree(ProcessTag),
    Kill,
    /// A call that still runs owns it, or it may be none of the calls' at all.
    Keep,
    Watch(u64),
}

impl Leaders {
    fn add(&mut self, pid: u32, tag: ProcessTag) {
        let number = self.count;
        self.count += 1;
        self.by_pid.insert(pid, Leader { tag, number: Some(number) });
    }

    fn set_waiting(&mut self, pid: u32) {
        if let Some(leader) = self.by_pid.get_mut(&pid) {
            leader.number = None;
        }
    }

    fn snapshot(&self) -> (HashMap<u32, Leader>, u64) {
        (self.by_pid.clone(), self.count)
    }
}

impl Spawned {
    pub(crate) fn processes(&self) -> &Processes {
        &self.processes
    }

    pub(crate) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.as_mut()?.streams().stdout.take()
    }

    pub(crate) fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.as_mut()?.streams().stderr.take()
    }

    /// Waits until the process itself has ended; what it started may still run.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let Some(child) = &mut self.child else {
            return Err(io::Error::other("was waited for already"));
        };
        let status = child.wait().await?;
        self.forget();
        Ok(status)
    }

    /// It was waited for.
    fn forget(&mut self) {
        self.child = None;
        self.processes.leaders().by_pid.remove(&self.pid);
    }

    /// Whether the process itself still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(None)) => true,
            Some(Ok(Some(_))) => {
                self.forget();
                false
            }
            Some(Err(_)) | None => false,
        }
    }

    /// It waits for a request: it has started nothing yet that a call could leave behind.
    pub(crate) fn waits(&mut self) {
        self.when_dropped = Kill::Unused;
        self.processes.leaders().set_waiting(self.pid);
    }

    /// It has a request from now on, as if it had been started for it.
    pub(crate) fn serves(&mut self) {
        self.when_dropped = Kill::CallerGone;
        self.processes.leaders().add(self.pid, self.tag.clone());
    }

    /// Kills the whole tree, and returns when it is gone.
    pub(crate) async fn kill(&mut self, reason: Kill) {
        // After the end of the process itself there may be nothing to kill.
        if self.child.is_some() || reason == Kill::Leftover {
            self.processes.metrics.count_kill(reason);
        }
        self.kill_tree().await;
    }

    /// Asks it to end, and kills the whole tree after `grace` at the latest.
    pub(crate) async fn end(&mut self, grace: Duration, reason: Kill) {
        if self.child.is_some() {
            self.processes.metrics.count_kill(reason);
            terminate_group(self.pid);
            let _ = timeout(grace, self.wait()).await;
        }
        self.kill_tree().await;
    }

    async fn kill_tree(&mut self) {
        let leader = self.child.as_ref().map(|_| self.pid);
        let tag = self.tag.clone();
        let _ = spawn_blocking(move || kill_tree(leader, &tag)).await;
        // The sweep ends any process that is still there.
        let _ = timeout(KILL_TIMEOUT, self.wait()).await;
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        match self.child.take() {
            // No signal ended it, or the runtime was gone before the task had begun.
            Some(_) if self.is_let_go => {
                kill_tree(Some(self.pid), &self.tag);
                self.processes.leaders().by_pid.remove(&self.pid);
            }
            Some(child) => {
                let mut rest = Self {
                    child: Some(child),
                    pid: self.pid,
                    tag: self.tag.clone(),
                    processes: Arc::clone(&self.processes),
                    when_dropped: self.when_dropped,
                    is_let_go: true,
                };
                let end = async move { rest.kill(rest.when_dropped).await };
                self.processes.tasks.spawn_on(end, &self.processes.runtime);
            }
            None => {}
        }
        self.processes.ended.notify_one();
    }
}

#[cfg(test)]
mod tests;
