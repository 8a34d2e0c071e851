//! One single-threaded runtime per core.
//!
//! A call, and the upstream connections that it uses, stay on one runtime from the first byte to the last: a call that crossed cores would have to wake one each time.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use tokio::{
    net::TcpStream,
    runtime::{Builder, Handle},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Threads of each runtime for blocking work.
const MAX_BLOCKING_THREADS: usize = 4;

/// The runtimes. Another one is started when each of them has a connection.
#[derive(Debug)]
pub struct Runtimes {
    max: usize,
    all: Mutex<Vec<Worker>>,
    end: CancellationToken,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    thread: JoinHandle<()>,
    /// Each connection holds a clone.
    connections: Arc<()>,
}

impl Runtimes {
    /// At most `max`. With 0, the runtime that accepts a connection serves it.
    pub fn new(max: usize) -> Self {
        Self { max, all: Mutex::default(), end: CancellationToken::new() }
    }

    /// One for each core.
    pub fn for_each_core() -> Self {
        Self::new(thread::available_parallelism().map_or(1, usize::from))
    }

    /// Serves a connection on the runtime with the fewest connections, as one of `tasks`.
    ///
    /// # Errors
    ///
    /// If no thread can be started, or the connection cannot be moved to one.
    pub fn serve<F>(
        &self,
        stream: TcpStream,
        tasks: &TaskTracker,
        serve: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.max == 0 {
            tasks.spawn(serve(stream));
            return Ok(());
        }
        let stream = stream.into_std()?;
        let (runtime, held) = self.least_busy()?;
        let connection = async move {
            let _held = held;
            // Only here, because the runtime that registers a connection is the one that watches it.
            if let Ok(stream) = TcpStream::from_std(stream) {
                serve(stream).await;
            }
        };
        tasks.spawn_on(connection, &runtime);
        Ok(())
    }

    /// Stops all runtimes. Tasks that still run are dropped.
    pub fn stop(&self) {
        self.end.cancel();
        for worker in self.all.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A panic has been reported already.
            let _ = worker.thread.join();
        }
    }

    fn least_busy(&self) -> io::Result<(Handle, Arc<()>)> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = |worker: &&Worker| Arc::strong_count(&worker.connections) - 1;
        if all.len() < self.max && all.iter().all(|worker| connections(&worker) > 0) {
            all.push(Worker::start(self.end.clone())?);
        }
        let worker = all.iter().min_by_key(connections).ok_or_else(|| io::Error::other("no runtime"))?;
        Ok((worker.runtime.clone(), Arc::clone(&worker.connections)))
    }
}

impl Worker {
    fn start(end: CancellationToken) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().max_blocking_threads(MAX_BLOCKING_THREADS).enable_all().build()?;
        let handle = runtime.handle().clone();
        let thread = thread::Builder::new().name("calls".to_owned()).spawn(move || {
            runtime.block_on(end.cancelled());
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, thread, connections: Arc::default() })
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Connections that are held, each with the id of the thread that serves it.
    async fn held(runtimes: &Runtimes, tasks: &TaskTracker, count: usize) -> Vec<(TcpStream, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut connections = Vec::new();
        for _ in 0..count {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (accepted, _) = listener.accept().await.unwrap();
            runtimes.serve(accepted, tasks, greet_and_hold).unwrap();
            let mut id = [0; 64];
            let length = client.read(&mut id).await.unwrap();
            connections.push((client, String::from_utf8_lossy(&id[..length]).into_owned()));
        }
        connections
    }

    async fn greet_and_hold(mut stream: TcpStream) {
        stream.write_all(format!("{:?}", thread::current().id()).as_bytes()).await.unwrap();
        let _ = stream.read(&mut [0]).await;
    }

    fn own_id() -> String {
        format!("{:?}", thread::current().id())
    }

    #[tokio::test]
    async fn connections_are_spread_over_no_more_runtimes_than_allowed() {
        let (runtimes, tasks) = (Runtimes::new(2), TaskTracker::new());
        let mut connections = held(&runtimes, &tasks, 4).await;
        let ids: Vec<_> = connections.iter().map(|(_, id)| id.clone()).collect();
        assert_ne!(ids[0], ids[1]);
        assert!(!ids.contains(&own_id()));
        assert_eq!(ids.iter().filter(|id| **id == ids[0]).count(), 2);
        assert_eq!(ids.iter().filter(|id| **id == ids[1]).count(), 2);

        // The next one goes where two have ended.
        connections.retain(|(_, id)| *id != ids[0]);
        while tasks.len() > 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(held(&runtimes, &tasks, 1).await[0].1, ids[0]);
        runtimes.stop();
    }

    #[tokio::test]
    async fn without_runtimes_connections_stay_where_they_are() {
        let (runtimes, tasks) = (Runtimes::new(0), TaskTracker::new());
        assert_eq!(held(&runtimes, &tasks, 1).await[0].1, own_id());
        runtimes.stop();
    }

    #[tokio::test]
    async fn what_still_runs_is_dropped_at_the_end() {
        let (runtimes, tasks) = (Runtimes::new(1), TaskTracker::new());
        let mut connections = held(&runtimes, &tasks, 1).await;
        runtimes.stop();
        assert!(tasks.is_empty());
        // The other end is closed.
        assert_eq!(connections[0].0.read(&mut [0]).await.unwrap(), 0);
    }
}
