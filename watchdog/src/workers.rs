//! Threads that serve connections, each with a runtime of its own.
//!
//! A call of the fork mode stays on one thread from its first byte to the last: whenever it went to another one a core would have to be woken.
//! There are several because starting a process holds its thread until the program is loaded.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

const MOST: usize = 8;
/// Of each thread, for what blocks.
const BLOCKING: usize = 4;

/// A thread is started when those that there are have a connection each.
#[derive(Debug)]
pub(crate) struct Workers {
    all: Mutex<Vec<Worker>>,
    end: CancellationToken,
}

/// One connection's place on a thread.
#[derive(Debug)]
pub(crate) struct Place {
    runtime: Handle,
    _taken: Arc<()>,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    thread: JoinHandle<()>,
    /// There is one copy for each connection, and this.
    taken: Arc<()>,
}

impl Workers {
    pub(crate) fn start() -> io::Result<Self> {
        let end = CancellationToken::new();
        let all = Mutex::new(vec![Worker::start(end.clone())?]);
        Ok(Self { all, end })
    }

    /// A place on the thread that has the fewest connections.
    pub(crate) fn place(&self) -> io::Result<Place> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = |worker: &&Worker| Arc::strong_count(&worker.taken) - 1;
        if all.len() < MOST && all.iter().all(|worker| connections(&worker) > 0) {
            all.push(Worker::start(self.end.clone())?);
        }
        let worker = all.iter().min_by_key(connections).ok_or_else(|| io::Error::other("no thread"))?;
        Ok(Place { runtime: worker.runtime.clone(), _taken: Arc::clone(&worker.taken) })
    }

    /// Ends them; what still runs there is dropped.
    pub(crate) fn stop(&self) {
        self.end.cancel();
        for worker in self.all.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A panic there has been told already.
            let _ = worker.thread.join();
        }
    }
}

impl Place {
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

impl Worker {
    fn start(end: CancellationToken) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().max_blocking_threads(BLOCKING).enable_all().build()?;
        let handle = runtime.handle().clone();
        let thread = thread::Builder::new().name("calls".to_owned()).spawn(move || {
            runtime.block_on(end.cancelled());
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, thread, taken: Arc::default() })
    }
}
