//! Which server of a cluster a lost connection is made to next: another one, because the one that was lost may be gone without a word.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_nats::{ReconnectToServer, Server, ServerAddr};
use skep_backoff::Backoff;

/// Between two attempts to reach a server again.
const DELAY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(1600));

/// How long to wait before an attempt, of which there were this many.
pub(super) fn delay(attempts: usize) -> Duration {
    DELAY.after(attempts as u64 + 1)
}

/// The attempts of one connection since it was lost.
#[derive(Clone, Default)]
pub(super) struct Attempts(Arc<Mutex<Made>>);

#[derive(Default)]
struct Made {
    /// How often each server was tried since the connection was lost.
    tries: HashMap<String, usize>,
    last: Option<String>,
}

impl Attempts {
    /// The connection stands again.
    pub(super) fn succeeded(&self) {
        self.made().tries.clear();
    }

    /// The next server to try: the one that was tried least, and last the one that was lost.
    pub(super) fn next(&self, servers: &[Server]) -> Option<ReconnectToServer> {
        let mut made = self.made();
        let lost = made.last.clone().or_else(|| only_connected(servers));
        let rank = |server: &Server| {
            let name = name(&server.addr);
            (made.tries.get(&name).copied().unwrap_or_default(), made.tries.is_empty() && Some(name) == lost)
        };
        let least = servers.iter().map(rank).min()?;
        let best: Vec<&Server> = servers.iter().filter(|server| rank(server) == least).collect();
        let chosen = best.get(fastrand::usize(..best.len()))?.addr.clone();
        let before: usize = made.tries.values().sum();
        *made.tries.entry(name(&chosen)).or_default() += 1;
        made.last = Some(name(&chosen));
        Some(ReconnectToServer { addr: chosen, delay: Some(delay(before)) })
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server of the first connection, which was not chosen here.
fn only_connected(servers: &[Server]) -> Option<String> {
    let mut connected = servers.iter().filter(|server| server.did_connect);
    connected.next().filter(|_| connected.next().is_none()).map(|server| name(&server.addr))
}

fn name(address: &ServerAddr) -> String {
    format!("{}:{}", address.host(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(connected: &[&str]) -> Vec<Server> {
        let server = |host: &str| Server {
            addr: format!("nats://{host}:4222").parse().unwrap(),
            failed_attempts: 0,
            did_connect: connected.contains(&host),
            is_discovered: false,
            last_error: None,
        };
        ["a", "b", "c"].map(server).to_vec()
    }

    #[test]
    fn the_one_that_was_lost_is_tried_last_and_each_once_before_any_twice() {
        for _ in 0..20 {
            let attempts = Attempts::default();
            let next = || attempts.next(&servers(&["b"])).unwrap().addr.host().to_owned();
            let first = next();
            assert_ne!(first, "b");
            let mut all = vec![first, next(), next()];
            let last = all[2].clone();
            all.sort();
            assert_eq!(all, ["a", "b", "c"]);
            attempts.succeeded();
            assert_ne!(next(), last, "it was lost again");
        }
    }

    #[test]
    fn each_further_attempt_waits_longer() {
        let attempts = Attempts::default();
        let delays: Vec<_> = (0..4).filter_map(|_| attempts.next(&servers(&[]))?.delay).collect();
        assert!(delays.is_sorted() && delays[0] < delays[3], "{delays:?}");
        assert!(attempts.next(&[]).is_none());
    }
}
