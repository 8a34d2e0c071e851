//! Failed logins: they are logged, counted, and slowed down per address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use prometheus::{IntCounterVec, Opts, Registry};
use skep_backoff::Backoff;
use skep_http::network_of;
use tokio::time::Instant;
use tracing::warn;

/// Failures before the first pause, because people mistype, and a browser may have an old password.
const MAX_FREE_FAILURES: u32 = 10;
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
/// An address without a failure for this long is forgotten.
const FAILURES_TTL: Duration = Duration::from_secs(600);
/// The most addresses that are remembered; the ones that failed longest ago are forgotten first.
const MAX_REMEMBERED: usize = 4096;
const LOG_INTERVAL: Duration = Duration::from_secs(1);

const COUNTER: (&str, &str) = (
    "gateway_login_failures_total",
    "Requests with a wrong password or token, and those refused for too many of them.",
);

pub(crate) struct Failures {
    /// How many addresses are remembered: nobody who logs in waits for the lock while there is none.
    remembered: AtomicUsize,
    state: Mutex<State>,
    counter: IntCounterVec,
}

#[derive(Default)]
struct State {
    addresses: HashMap<IpAddr, Past>,
    told_at: Option<Instant>,
    untold: u64,
}

/// What an address has done.
struct Past {
    failures: u32,
    last: Instant,
    /// Nothing is tried for it before.
    open_at: Instant,
}

impl Failures {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = IntCounterVec::new(Opts::new(COUNTER.0, COUNTER.1), &["outcome"])?;
        registry.register(Box::new(counter.clone()))?;
        Ok(Self { remembered: AtomicUsize::new(0), state: Mutex::default(), counter })
    }

    /// How long an address must wait until its next login is checked.
    pub(super) fn pause(&self, address: IpAddr) -> Option<Duration> {
        if self.remembered.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = state.addresses.get(&network_of(address))?.open_at.checked_duration_since(Instant::now())?;
        if pause.is_zero() {
            return None;
        }
        self.counter.with_label_values(&["refused"]).inc();
        Some(pause)
    }

    /// A login that was right: what failed from its address before was a mistake.
    pub(super) fn forgive(&self, address: IpAddr) {
        if self.remembered.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.addresses.remove(&network_of(address));
        self.remembered.store(state.addresses.len(), Ordering::Relaxed);
    }

    /// A login that was wrong.
    pub(super) fn note(&self, address: IpAddr) {
        self.counter.with_label_values(&["wrong"]).inc();
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.make_room(now);
        let past = state.addresses.entry(network_of(address)).or_insert(Past { failures: 0, last: now, open_at: now });
        let is_forgotten = now.duration_since(past.last) >= FAILURES_TTL;
        past.failures = if is_forgotten { 1 } else { past.failures.saturating_add(1) };
        past.last = now;
        past.open_at = now + pause_after(past.failures);
        let failures = past.failures;
        self.remembered.store(state.addresses.len(), Ordering::Relaxed);
        state.untold += 1;
        if state.told_at.is_none_or(|told| now.duration_since(told) >= LOG_INTERVAL) {
            let since_the_last_line = std::mem::take(&mut state.untold);
            state.told_at = Some(now);
            drop(state);
            warn!(%address, failures, since_the_last_line, "a login failed");
        }
    }
}

impl State {
    /// Forgets what is old, and if that is not enough the oldest.
    fn make_room(&mut self, now: Instant) {
        if self.addresses.len() < MAX_REMEMBERED {
            return;
        }
        self.addresses.retain(|_, past| now.duration_since(past.last) < FAILURES_TTL);
        if self.addresses.len() >= MAX_REMEMBERED
            && let Some(oldest) = self.addresses.iter().min_by_key(|(_, past)| past.last).map(|(address, _)| *address)
        {
            self.addresses.remove(&oldest);
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
        advance(FAILURES_TTL).await;
        failures.note(address(1));
        assert_eq!(failures.pause(address(1)), None, "so does one that has not failed for long");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_has_a_bound() {
        let failures = failures();
        for last in 0..u32::try_from(MAX_REMEMBERED).unwrap() + 100 {
            failures.note(address(last));
        }
        assert_eq!(failures.remembered.load(Ordering::Relaxed), MAX_REMEMBERED);
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_are_one() {
        let of = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:2:ffff::"));
        assert_ne!(of("2001:db8:1:2::3"), of("2001:db8:1:3::3"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
