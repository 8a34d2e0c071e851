//! Isolates receivers from each other: each has at most a few callbacks under way, and one that is down gets none for a while (a circuit breaker).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use skep_backoff::Backoff;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use url::Url;

/// Callbacks under way to one destination.
const MAX_CONCURRENT: usize = 8;
/// How long a callback waits for its turn inside the worker.
const TURN_TIMEOUT: Duration = Duration::from_millis(250);
/// After a turn did not come in time, no callback waits for one for this long.
const SLOW_TTL: Duration = Duration::from_secs(1);
/// The failures in a row after which a destination counts as down.
const MIN_FAILURES: u32 = 5;
/// How long a destination that is down gets no callback, before one probe is sent.
const REST: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// A destination without a callback for this long is forgotten.
const UNUSED_TTL: Duration = Duration::from_secs(600);
/// From this number of destinations on, unused ones are forgotten.
const MIN_FORGETTING: usize = 1024;

/// Scheme, host and port.
type Key = String;

#[derive(Debug, Default)]
pub(crate) struct Destinations {
    known: Mutex<HashMap<Key, State>>,
}

#[derive(Debug)]
struct State {
    turns: Arc<Semaphore>,
    failures: u32,
    rests_until: Option<Instant>,
    slow_until: Option<Instant>,
    /// After a rest, one callback probes whether it is up again.
    is_probed: bool,
    last_used: Instant,
}

/// Whether a callback may go out now.
#[derive(Debug)]
pub(super) enum Admission {
    Go(Ticket),
    /// It counts as down for this much longer.
    Down(Duration),
    /// It has as many callbacks under way as it may.
    Busy,
}

/// A turn at a destination.
#[derive(Debug)]
pub(super) struct Ticket {
    destinations: Arc<Destinations>,
    key: Key,
    is_probe: bool,
    _turn: OwnedSemaphorePermit,
}

impl Destinations {
    pub(super) async fn admit(self: &Arc<Self>, url: &Url) -> Admission {
        let key = url.origin().ascii_serialization();
        let (turns, is_probe) = match self.admission(&key) {
            Ok(open) => open,
            Err(refused) => return refused,
        };
        let Ok(Ok(turn)) = timeout(TURN_TIMEOUT, turns.acquire_owned()).await else {
            self.with(&key, |state| {
                state.slow_until = Some(Instant::now() + SLOW_TTL);
                state.is_probed &= !is_probe;
            });
            return Admission::Busy;
        };
        Admission::Go(Ticket { destinations: Arc::clone(self), key, is_probe, _turn: turn })
    }

    /// Its turns, and whether the next one is the probe of a destination that was down.
    fn admission(&self, key: &Key) -> Result<(Arc<Semaphore>, bool), Admission> {
        let now = Instant::now();
        let mut known = self.lock();
        if known.len() >= MIN_FORGETTING {
            known.retain(|_, state| state.is_in_use() || now.duration_since(state.last_used) < UNUSED_TTL);
        }
        let state = known.entry(key.clone()).or_insert_with(|| State::new(now));
        state.last_used = now;
        let is_before = |moment: Option<Instant>| moment.is_some_and(|moment| now < moment);
        if let Some(until) = state.rests_until.filter(|until| now < *until) {
            return Err(Admission::Down(until - now));
        }
        if state.is_probed || (is_before(state.slow_until) && state.turns.available_permits() == 0) {
            return Err(Admission::Busy);
        }
        state.is_probed = state.failures >= MIN_FAILURES;
        Ok((Arc::clone(&state.turns), state.is_probed))
    }

    fn with(&self, key: &Key, change: impl FnOnce(&mut State)) {
        if let Some(state) = self.lock().get_mut(key) {
            change(state);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, State>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(now: Instant) -> Self {
        let turns = Arc::new(Semaphore::new(MAX_CONCURRENT));
        Self { turns, failures: 0, rests_until: None, slow_until: None, is_probed: false, last_used: now }
    }

    fn is_in_use(&self) -> bool {
        self.turns.available_permits() < MAX_CONCURRENT
    }
}

impl Ticket {
    /// It answered, whatever it answered.
    pub(super) fn answered(&self) {
        self.destinations.with(&self.key, |state| {
            state.failures = 0;
            state.rests_until = None;
        });
    }

    /// It could not be reached, or says itself that it does not work.
    pub(super) fn failed(&self) {
        self.destinations.with(&self.key, |state| {
            state.failures = state.failures.saturating_add(1);
            if let Some(over) = state.failures.checked_sub(MIN_FAILURES) {
                state.rests_until = Some(Instant::now() + REST.after(u64::from(over) + 1));
            }
        });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.is_probe {
            self.destinations.with(&self.key, |state| state.is_probed = false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn admit(destinations: &Arc<Destinations>, url: &str) -> Option<Ticket> {
        match destinations.admit(&url.parse().unwrap()).await {
            Admission::Go(ticket) => Some(ticket),
            Admission::Down(_) | Admission::Busy => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_destination_has_a_few_at_once_and_others_have_theirs() {
        let all = Arc::new(Destinations::default());
        let mut tickets = Vec::new();
        for _ in 0..MAX_CONCURRENT {
            tickets.push(admit(&all, "http://slow/a?b").await.unwrap());
        }
        assert!(admit(&all, "http://slow/other").await.is_none(), "it is one destination whatever the path");
        let since = Instant::now();
        assert!(admit(&all, "http://slow/").await.is_none());
        assert_eq!(since.elapsed(), Duration::ZERO, "it is known to be slow, so nobody waits");
        assert!(admit(&all, "http://slow:81/").await.is_some() && admit(&all, "https://slow/").await.is_some());
        tickets.pop();
        assert!(admit(&all, "http://slow/").await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_waited_for_while_the_destination_is_quick() {
        let all = Arc::new(Destinations::default());
        let mut tickets = Vec::new();
        for _ in 0..MAX_CONCURRENT {
            tickets.push(admit(&all, "http://quick/").await);
        }
        let (next, ()) = tokio::join!(admit(&all, "http://quick/"), async {
            tokio::time::sleep(TURN_TIMEOUT / 2).await;
            tickets.clear();
        });
        assert!(next.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_down_rests_longer_each_time_and_one_callback_probes_it() {
        let all = Arc::new(Destinations::default());
        for _ in 0..MIN_FAILURES {
            admit(&all, "http://down/").await.unwrap().failed();
        }
        let mut last = Duration::ZERO;
        for _ in 0..8 {
            let Admission::Down(rest) = all.admit(&"http://down/".parse().unwrap()).await else { panic!("it rests") };
            assert!(rest > last || rest == REST.after(u64::MAX));
            last = rest;
            tokio::time::advance(rest).await;
            let probe = admit(&all, "http://down/").await.unwrap();
            assert!(admit(&all, "http://down/").await.is_none(), "one probe is enough");
            probe.failed();
        }
        tokio::time::advance(REST.after(u64::MAX)).await;
        admit(&all, "http://down/").await.unwrap().answered();
        assert!(admit(&all, "http://down/").await.is_some() && admit(&all, "http://down/").await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn destinations_that_are_not_used_are_forgotten() {
        let all = Arc::new(Destinations::default());
        for number in 0..MIN_FORGETTING {
            admit(&all, &format!("http://host-{number}/")).await;
        }
        let _kept = admit(&all, "http://host-1/").await;
        tokio::time::advance(UNUSED_TTL).await;
        admit(&all, "http://new/").await;
        assert_eq!(all.lock().len(), 2);
    }
}
