//! Threads that serve connections, each with a runtime of its own.
//!
//! A call stays on one thread from its first byte to the last, with the connections that it uses: whenever it went to another one a core would have to be woken.
//! This crate does not know what is served.

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

/// Of each thread, for what blocks.
const BLOCKING: usize = 4;

/// The threads; one is started when those that there are have a connection each.
#[derive(Debug)]
pub struct Threads {
    most: usize,
    all: Mutex<Vec<Thread>>,
    end: CancellationToken,
}

#[derive(Debug)]
struct Thread {
    runtime: Handle,
    thread: JoinHandle<()>,
    /// There is one copy for each connection, and this.
    taken: Arc<()>,
}

impl Threads {
    /// No more than `most`; with 0 connections are served by the runtime that accepts them.
    pub fn new(most: usize) -> Self {
        Self { most, all: Mutex::default(), end: CancellationToken::new() }
    }

    /// As many as there are cores.
    pub fn for_each_core() -> Self {
        Self::new(thread::available_parallelism().map_or(1, usize::from))
    }

    /// Has a connection served by the thread that has the fewest, as one of `tasks`.
    ///
    /// # Errors
    ///
    /// When no thread can be started, or the connection cannot be moved to one.
    pub fn serve<F>(
        &self,
        stream: TcpStream,
        tasks: &TaskTracker,
        serve: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.most == 0 {
            tasks.spawn(serve(stream));
            return Ok(());
        }
        let stream = stream.into_std()?;
        let (runtime, taken) = self.place()?;
        let connection = async move {
            let _taken = taken;
            // Only now, so that it is watched where it is served.
            if let Ok(stream) = TcpStream::from_std(stream) {
                serve(stream).await;
            }
        };
        tasks.spawn_on(connection, &runtime);
        Ok(())
    }

    /// Ends them; what still runs there is dropped.
    pub fn stop(&self) {
        self.end.cancel();
        for thread in self.all.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A panic there has been told already.
            let _ = thread.thread.join();
        }
    }

    fn place(&self) -> io::Result<(Handle, Arc<()>)> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = |thread: &&Thread| Arc::strong_count(&thread.taken) - 1;
        if all.len() < self.most && all.iter().all(|thread| connections(&thread) > 0) {
            all.push(Thread::start(self.end.clone())?);
        }
        let thread = all.iter().min_by_key(connections).ok_or_else(|| io::Error::other("no thread"))?;
        Ok((thread.runtime.clone(), Arc::clone(&thread.taken)))
    }
}

impl Thread {
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

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Connections that are held, each with the id of the thread that serves it.
    async fn held(threads: &Threads, tasks: &TaskTracker, count: usize) -> Vec<(TcpStream, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut connections = Vec::new();
        for _ in 0..count {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (accepted, _) = listener.accept().await.unwrap();
            threads.serve(accepted, tasks, tell_and_hold).unwrap();
            let mut id = [0; 64];
            let length = client.read(&mut id).await.unwrap();
            connections.push((client, String::from_utf8_lossy(&id[..length]).into_owned()));
        }
        connections
    }

    async fn tell_and_hold(mut stream: TcpStream) {
        stream.write_all(format!("{:?}", thread::current().id()).as_bytes()).await.unwrap();
        let _ = stream.read(&mut [0]).await;
    }

    fn own_id() -> String {
        format!("{:?}", thread::current().id())
    }

    #[tokio::test]
    async fn connections_are_spread_over_no_more_threads_than_may_be() {
        let (threads, tasks) = (Threads::new(2), TaskTracker::new());
        let mut connections = held(&threads, &tasks, 4).await;
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
        assert_eq!(held(&threads, &tasks, 1).await[0].1, ids[0]);
        threads.stop();
    }

    #[tokio::test]
    async fn without_threads_connections_stay_where_they_are() {
        let (threads, tasks) = (Threads::new(0), TaskTracker::new());
        assert_eq!(held(&threads, &tasks, 1).await[0].1, own_id());
        threads.stop();
    }

    #[tokio::test]
    async fn what_still_runs_is_dropped_at_the_end() {
        let (threads, tasks) = (Threads::new(1), TaskTracker::new());
        let mut connections = held(&threads, &tasks, 1).await;
        threads.stop();
        assert!(tasks.is_empty());
        // The other end is closed.
        assert_eq!(connections[0].0.read(&mut [0]).await.unwrap(), 0);
    }
}
