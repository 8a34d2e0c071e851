//! Failed logins: they are logged, counted, and slowed down per address.

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use prometheus::{IntCounterVec, Opts, Registry};
use skep_backoff::Backoff;
use tokio::time::Instant;
use tracing::warn;

use crate::addresses::{self, Addresses};

/// Failures before the first pause, because people mistype, and a browser may have an old password.
const MAX_FREE_FAILURES: u32 = 10;
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
const LOG_INTERVAL: Duration = Duration::from_secs(1);

const COUNTER: (&str, &str) = (
    "gateway_login_failures_total",
    "Requests with a wrong password or token, and those refused for too many of them.",
);

pub(crate) struct Failures {
    addresses: Addresses<Past>,
    logged: Mutex<Logged>,
    counter: IntCounterVec,
}

/// What the log has of them.
#[derive(Default)]
struct Logged {
    at: Option<Instant>,
    unlogged: u64,
}

/// What an address has done.
struct Past {
    failures: u32,
    last: Instant,
    /// Nothing is tried for it before.
    open_at: Instant,
}

impl addresses::Past for Past {
    const TTL: Duration = Duration::from_secs(600);
    const MAX_REMEMBERED: usize = 4096;

    fn since(&self) -> Instant {
        self.last
    }
}

impl Failures {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = IntCounterVec::new(Opts::new(COUNTER.0, COUNTER.1), &["outcome"])?;
        registry.register(Box::new(counter.clone()))?;
        Ok(Self { addresses: Addresses::default(), logged: Mutex::default(), counter })
    }

    /// How long an address must wait until its next login is checked.
    pub(super) fn pause(&self, address: IpAddr) -> Option<Duration> {
        let open_at = self.addresses.look(address, |past| past.open_at)?;
        let pause = open_at.checked_duration_since(Instant::now()).filter(|pause| !pause.is_zero())?;
        self.counter.with_label_values(&["refused"]).inc();
        Some(pause)
    }

    /// A login that was right: what failed from its address before was a mistake.
    pub(super) fn forgive(&self, address: IpAddr) {
        self.addresses.forget(address);
    }

    /// A login that was wrong.
    pub(super) fn note(&self, address: IpAddr) {
        self.counter.with_label_values(&["wrong"]).inc();
        let now = Instant::now();
        let failures = self.addresses.note(address, Past { failures: 0, last: now, open_at: now }, |past| {
            past.failures = past.failures.saturating_add(1);
            past.last = now;
            past.open_at = now + pause_after(past.failures);
            past.failures
        });
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        logged.unlogged += 1;
        if logged.at.is_none_or(|at| now.duration_since(at) >= LOG_INTERVAL) {
            let since_the_last_line = std::mem::take(&mut logged.unlogged);
            logged.at = Some(now);
            drop(logged);
            warn!(%address, failures, since_the_last_line, "a login failed");
        }
    }
}

fn pause_after(failures: u32) -> Duration {
    match failures.checked_sub(MAX_FREE_FAILURES) {
        None | Some(0) => Duration::ZERO,
        Some(beyond) => BACKOFF.after(beyond.into()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn failures() -> Failures {
        Failures::register(&Registry::new()).unwrap()
    }

    fn address(last: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + last).into())
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_grows_for_the_address_that_fails_and_for_no_other() {
        let failures = failures();
        for _ in 0..MAX_FREE_FAILURES {
            failures.note(address(1));
            assert_eq!(failures.pause(address(1)), None);
        }
        let mut pauses = Vec::new();
        for _ in 0..8 {
            failures.note(address(1));
            let pause = failures.pause(address(1)).unwrap();
            assert_eq!(failures.pause(address(2)), None);
            pauses.push(pause);
            advance(pause).await;
            assert_eq!(failures.pause(address(1)), None, "after the pause the next one is looked at");
        }
        assert!(
            pauses.is_sorted() && pauses[0] == BACKOFF.after(1) && pauses[7] == BACKOFF.after(u64::MAX),
            "{pauses:?}"
        );
        failures.forgive(address(1));
        failures.note(address(1));
        assert_eq!(failures.pause(address(1)), None, "one that was right begins anew");
        for _ in 0..MAX_FREE_FAILURES {
            failures.note(address(1));
        }
        assert!(failures.pause(address(1)).is_some());
        advance(<Past as addresses::Past>::TTL).await;
        failures.note(address(1));
        assert_eq!(failures.pause(address(1)), None, "so does one that has not failed for long");
    }
}
