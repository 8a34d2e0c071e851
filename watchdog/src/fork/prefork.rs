//! Prefork: processes that were started before their request and wait for it on STDIN; each serves one.
//!
//! Their number follows the load: one at first, one more whenever a call found none, and fewer when some were not needed for a while.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::fork::{
    pipes::Writer,
    start::{Started, Starter},
};

/// How often to check whether there are more processes than needed, and whether they are well.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// An older process is replaced, so that a changed program does not run in its old version for long.
const MAX_AGE: Duration = Duration::from_secs(60);
/// Most programs wait on STDIN this long after their start; younger processes may still be loading.
const LOAD_DELAY: Duration = Duration::from_millis(50);
/// The delay before another process is started while some still wait, so that calls get the processor first.
const START_DELAY: Duration = Duration::from_millis(5);
/// Prefork is given up for a program after this many processes in a row that did not wait for input.
const STRIKES: usize = 3;

/// A handle; when it is dropped, the waiting processes are killed.
#[derive(Debug)]
pub(super) struct Prefork {
    stock: Arc<Stock>,
    _end: DropGuard,
}

/// When it is dropped, there may be too few processes.
pub(super) struct Refill<'a>(&'a Stock);

#[derive(Debug)]
struct Stock {
    starter: Arc<Starter>,
    state: Mutex<State>,
    wanted: Notify,
    /// The setting.
    most: usize,
}

#[derive(Debug, Default)]
struct State {
    /// The oldest one is taken first.
    waiting: VecDeque<Waiting>,
    /// How many should wait.
    target: usize,
    /// The fewest that waited since the last check.
    spare: usize,
    /// How many in a row did not wait for a request.
    strikes: usize,
}

#[derive(Debug)]
struct Waiting {
    started: Started,
    stdin: Writer,
    since: Instant,
}

impl Prefork {
    /// Starts with one process; must be called inside the runtime.
    pub(super) fn begin(starter: Arc<Starter>, most: usize) -> Self {
        let state = Mutex::new(State { target: 1, ..State::default() });
        let stock = Arc::new(Stock { starter, state, wanted: Notify::new(), most });
        let end = CancellationToken::new();
        let keeper = Arc::clone(&stock);
        let keeping = end.clone().run_until_cancelled_owned(async move { keeper.keep().await });
        stock.starter.processes().tasks().spawn(keeping);
        Self { stock, _end: end.drop_guard() }
    }

    /// Takes a waiting process, if there is one.
    pub(super) fn take(&self) -> Option<(Started, Writer)> {
        let mut state = self.stock.state();
        let found = state.take();
        if found.is_none() {
            self.stock.wanted.notify_one();
        }
        state.target = state.target.min(self.stock.most);
        self.stock.count(&state);
        found
    }

    /// The call keeps this: a process is started in place of the one that it took when the call has ended, because until then the call gets the processor first.
    pub(super) fn refill(&self) -> Refill<'_> {
        Refill(&self.stock)
    }
}

impl Drop for Refill<'_> {
    fn drop(&mut self) {
        self.0.wanted.notify_one();
    }
}

impl Stock {
    /// Keeps the right number of processes, until the program turns out not to wait.
    async fn keep(&self) {
        let mut look = Instant::now() + CHECK_INTERVAL;
        loop {
            if let Err(error) = self.fill() {
                return self.give_up(&format!("the program cannot be started: {error}"));
            }
            if timeout_at(look, self.wanted.notified()).await.is_ok() {
                if !self.state().waiting.is_empty() {
                    sleep(START_DELAY).await;
                }
            } else {
                self.state().check();
                look = Instant::now() + CHECK_INTERVAL;
            }
            if self.state().strikes >= STRIKES {
                return self.give_up("the program writes or ends before it reads STDIN");
            }
        }
    }

    /// One at a time, because calls start processes too and come first.
    fn fill(&self) -> io::Result<()> {
        loop {
            let state = self.state();
            self.count(&state);
            if state.waiting.len() >= state.target {
                return Ok(());
            }
            drop(state);
            let (stdin, its_stdin) = Writer::new()?;
            let mut started = self.starter.start(its_stdin, Vec::new())?;
            started.process.waits();
            self.state().waiting.push_back(Waiting { started, stdin, since: Instant::now() });
        }
    }

    fn give_up(&self, reason: &str) {
        let mut state = self.state();
        state.target = 0;
        state.waiting.clear();
        self.count(&state);
        self.starter.processes().log().say(&format!("No more processes are started beforehand: {reason} (prefork)"));
    }

    fn count(&self, state: &State) {
        self.starter.processes().metrics().set_waiting(state.waiting.len());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_loaded(&self) -> bool {
        self.since.elapsed() >= LOAD_DELAY
    }
}

impl State {
    fn take(&mut self) -> Option<(Started, Writer)> {
        let found = loop {
            let Some(mut waiting) = self.waiting.pop_front() else {
                break None;
            };
            if waiting.started.is_waiting() {
                self.strikes = 0;
                waiting.started.process.serves();
                break Some(waiting);
            }
            self.strikes += 1;
        };
        let in_time = found.as_ref().is_some_and(Waiting::is_loaded);
        // Programs that do not wait get no more processes.
        self.target += usize::from(!in_time && self.strikes == 0 && self.target > 0);
        self.spare = self.spare.min(self.waiting.iter().filter(|waiting| waiting.is_loaded()).count());
        found.map(|waiting| (waiting.started, waiting.stdin))
    }

    /// Removes processes that no longer wait for a request or are old, and those that were not needed since the last check.
    fn check(&mut self) {
        let before = self.waiting.len();
        self.waiting.retain_mut(|waiting| waiting.started.is_waiting());
        self.strikes += before - self.waiting.len();
        self.waiting.retain(|waiting| waiting.since.elapsed() < MAX_AGE);
        self.target = self.target.saturating_sub(self.spare).max(1);
        while self.waiting.len() > self.target {
            self.waiting.pop_front();
        }
        self.spare = self.waiting.len();
    }
}
