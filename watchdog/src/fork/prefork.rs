//! Processes that were started beforehand and wait for a request on STDIN; each serves one.
//!
//! How many there are follows the load: one at first, one more whenever a call found none, fewer when some were not needed for a while.

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

use crate::fork::start::{Started, Starter};

/// How often it is looked whether there are more than needed, and whether they are well.
const LOOK: Duration = Duration::from_secs(10);
/// Then it is replaced, so that a changed program is not called in its old form for long.
const OLDEST: Duration = Duration::from_secs(60);
/// The call that took a process has the processor first.
const PAUSE: Duration = Duration::from_millis(2);
/// So many processes in a row that did not wait mean that the program is not one that waits.
const STRIKES: usize = 3;

/// A handle; when it is dropped those that wait are killed.
#[derive(Debug)]
pub(super) struct Prefork {
    stock: Arc<Stock>,
    _end: DropGuard,
}

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
    /// The oldest one is the first to go.
    waiting: VecDeque<Waiting>,
    /// How many should wait.
    target: usize,
    /// The fewest that waited since the last look.
    spare: usize,
    /// How many did not wait for a request, one after the other.
    strikes: usize,
}

#[derive(Debug)]
struct Waiting {
    started: Started,
    since: Instant,
}

impl Prefork {
    /// Begins with one process; needs to run inside of the runtime.
    pub(super) fn begin(starter: Arc<Starter>, most: usize) -> Self {
        let state = Mutex::new(State { target: 1, ..State::default() });
        let stock = Arc::new(Stock { starter, state, wanted: Notify::new(), most });
        let end = CancellationToken::new();
        let keeper = Arc::clone(&stock);
        let keeping = end.clone().run_until_cancelled_owned(async move { keeper.keep().await });
        stock.starter.processes().tasks().spawn(keeping);
        Self { stock, _end: end.drop_guard() }
    }

    /// A process that waits for a request, if there is one.
    pub(super) fn take(&self) -> Option<Started> {
        let mut state = self.stock.state();
        let found = state.take();
        if found.is_none() && state.strikes == 0 {
            state.target = self.stock.most.min(state.target + 1);
        }
        self.stock.count(&state);
        drop(state);
        self.stock.wanted.notify_one();
        found
    }
}

impl Stock {
    /// Keeps the stock as large as it should be, until the program turns out not to wait.
    async fn keep(&self) {
        let mut look = Instant::now() + LOOK;
        loop {
            if let Err(error) = self.fill() {
                return self.give_up(&format!("the program cannot be started: {error}"));
            }
            if timeout_at(look, self.wanted.notified()).await.is_ok() {
                sleep(PAUSE).await;
            } else {
                self.state().look();
                look = Instant::now() + LOOK;
            }
            if self.state().strikes >= STRIKES {
                return self.give_up("the program writes or ends before it reads STDIN");
            }
        }
    }

    /// One after the other: calls start processes as well, and come first.
    fn fill(&self) -> io::Result<()> {
        loop {
            let state = self.state();
            self.count(&state);
            if state.waiting.len() >= state.target {
                return Ok(());
            }
            drop(state);
            let mut started = self.starter.start(Vec::new())?;
            started.process.waits();
            self.state().waiting.push_back(Waiting { started, since: Instant::now() });
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

impl State {
    fn take(&mut self) -> Option<Started> {
        while let Some(Waiting { mut started, .. }) = self.waiting.pop_front() {
            if started.is_waiting() {
                self.strikes = 0;
                self.spare = self.spare.min(self.waiting.len());
                started.process.serves();
                return Some(started);
            }
            self.strikes += 1;
        }
        self.spare = 0;
        None
    }

    /// Removes those that are ill, old, or were not needed since the last time.
    fn look(&mut self) {
        let before = self.waiting.len();
        self.waiting.retain_mut(|waiting| waiting.started.is_waiting());
        self.strikes += before - self.waiting.len();
        self.waiting.retain(|waiting| waiting.since.elapsed() < OLDEST);
        self.target = self.target.saturating_sub(self.spare).max(1);
        while self.waiting.len() > self.target {
            self.waiting.pop_front();
        }
        self.spare = self.waiting.len();
    }
}
