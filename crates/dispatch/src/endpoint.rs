//! One replica as seen from here: its idle connections, its calls in flight, and whether it refused a connection lately.

use std::{
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use skep_backoff::Backoff;
use skep_http::Connection;
use tokio::{
    runtime::{Handle, Id},
    time::Instant,
};

/// An idle connection is not used again after this long, and closed; watchdogs close theirs later.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// For each runtime.
const MAX_IDLE: usize = 256;
/// A replica that refuses connections is passed over this long, doubling up to the limit.
const EJECTION: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(8));

/// A replica whose host is lost counts as if it had refused this often before, because each try waits for it: it is passed over for 2 s at least.
const FAILURES_OF_LOST_HOST: u32 = 3;

/// A connection, and since when it is idle.
type Idle = (Connection, Instant);

pub(crate) struct Endpoint {
    pub(crate) instance: String,
    pub(crate) address: SocketAddr,
    /// As text, for spans.
    pub(crate) ip: String,
    in_flight: AtomicUsize,
    failures: AtomicU32,
    ejected_until: Mutex<Option<Instant>>,
    /// Per runtime, because a connection is best used by the runtime that watches it; there are few.
    idle: Mutex<Vec<(Option<Id>, Vec<Idle>)>>,
}

impl Endpoint {
    pub(crate) fn new(instance: String, address: SocketAddr) -> Self {
        Self {
            instance,
            address,
            ip: address.ip().to_string(),
            in_flight: AtomicUsize::new(0),
            failures: AtomicU32::new(0),
            ejected_until: Mutex::default(),
            idle: Mutex::default(),
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether it may be chosen now.
    pub(crate) fn is_in(&self) -> bool {
        if self.failures.load(Ordering::Relaxed) == 0 {
            return true;
        }
        let until = self.ejected_until.lock().map_or(None, |until| *until);
        until.is_none_or(|until| Instant::now() >= until)
    }

    pub(crate) fn connected(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) {
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        let pause = EJECTION.after(u64::from(before) + 1);
        if let Ok(mut until) = self.ejected_until.lock() {
            *until = Some(Instant::now() + pause);
        }
    }

    /// Its host does not answer, so connections that are left are of no use.
    pub(crate) fn lost(&self) {
        self.failures.fetch_max(FAILURES_OF_LOST_HOST, Ordering::Relaxed);
        self.refused();
        if let Ok(mut idle) = self.idle.lock() {
            idle.iter_mut().for_each(|(_, idle)| idle.clear());
        }
    }

    /// The connection that was used last, if one is still fresh.
    pub(crate) fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().ok()?;
        let idle = of_this_runtime(&mut idle)?;
        let now = Instant::now();
        while let Some((connection, since)) = idle.pop() {
            if now - since > IDLE_TIMEOUT {
                // All others are older still.
                idle.clear();
                return None;
            }
            if !connection.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    /// Closes what will not be used again.
    pub(crate) fn close_stale(&self) {
        let now = Instant::now();
        if let Ok(mut idle) = self.idle.lock() {
            for (_, idle) in idle.iter_mut() {
                idle.retain(|(_, since)| now - *since <= IDLE_TIMEOUT);
            }
        }
    }

    pub(crate) fn put_idle(&self, connection: Connection) {
        if let Ok(mut idle) = self.idle.lock() {
            let connection = (connection, Instant::now());
            match of_this_runtime(&mut idle) {
                Some(idle) if idle.len() < MAX_IDLE => idle.push(connection),
                Some(_) => {}
                None => idle.push((this_runtime(), vec![connection])),
            }
        }
    }
}

fn of_this_runtime(idle: &mut [(Option<Id>, Vec<Idle>)]) -> Option<&mut Vec<Idle>> {
    let this = this_runtime();
    idle.iter_mut().find(|(runtime, _)| *runtime == this).map(|(_, idle)| idle)
}

/// `None` where there is no runtime, as at the end of the process.
fn this_runtime() -> Option<Id> {
    Handle::try_current().ok().map(|runtime| runtime.id())
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
        time::{advance, pause},
    };

    use super::*;

    #[tokio::test]
    async fn a_replica_whose_host_is_lost_is_passed_over_longer_than_one_that_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = |name: &str| Endpoint::new(name.to_owned(), listener.local_addr().unwrap());
        let (refused, lost) = (endpoint("f-1"), endpoint("f-2"));
        lost.put_idle(Connection::new(TcpStream::connect(lost.address).await.unwrap()));
        pause();
        refused.refused();
        lost.lost();
        assert!(lost.take_idle().is_none());
        advance(Duration::from_secs(1)).await;
        assert!(refused.is_in() && !lost.is_in());
        advance(Duration::from_secs(2)).await;
        assert!(lost.is_in());
        lost.lost();
        advance(Duration::from_secs(3)).await;
        assert!(!lost.is_in(), "twice as long the next time");
        lost.connected();
        assert!(lost.is_in());
    }

    #[tokio::test]
    async fn connections_that_nobody_uses_are_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoint = Endpoint::new("f-1".to_owned(), address);
        let mut others = Vec::new();
        for _ in 0..2 {
            endpoint.put_idle(Connection::new(TcpStream::connect(address).await.unwrap()));
            others.push(listener.accept().await.unwrap().0);
        }
        pause();
        advance(IDLE_TIMEOUT - Duration::from_secs(1)).await;
        let used = endpoint.take_idle().unwrap();
        endpoint.put_idle(used);
        endpoint.close_stale();
        advance(Duration::from_secs(2)).await;
        endpoint.close_stale();
        // The first one, which was not used again.
        assert_eq!(others[0].read(&mut [0]).await.unwrap(), 0);
        assert!(endpoint.take_idle().is_some() && endpoint.take_idle().is_none());
    }
}
