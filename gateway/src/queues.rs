//! Queue depths of each function that is called here, polled in the background, so that accepting a call asks nobody.
//!
//! Functions with waiting calls are polled although nobody calls them, so that the metrics show them.
//! The figures are up to half a second old, and a burst within that time is not seen; a function that is called for the first time has none.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus::{GaugeVec, IntGauge, IntGaugeVec, Opts, Registry};
use skep_bus::Waits;
use skep_protocol::{FunctionName, Waiting};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tracing::debug;

use crate::{app::App, held::Held};

const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// A function without a call for this long, and without waiting calls, is not checked any more.
const IN_USE_TTL: Duration = Duration::from_secs(30);
/// How often waiting calls are searched for while no function is in use.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Older figures are not reported, because the bus does not answer.
const FIGURES_TTL: Duration = Duration::from_secs(5);
/// How often the delayed calls of each function are counted; many of them cost the server some milliseconds.
const COUNT_DELAYED_INTERVAL: Duration = Duration::from_secs(5);
/// The most functions that are polled in one round; the others follow in the next rounds.
const TOGETHER: usize = 64;

const LABEL: &str = "function_name";
const DEPTH: (&str, &str) =
    ("queue_worker_pending_messages", "Calls that wait for a function, as a gateway sees it that is asked for them.");
const AGE: (&str, &str) = ("gateway_queue_age_seconds", "How long the first call waits that waits for a function.");

const BYTES: (&str, &str) = ("skep_queue_bytes", "Bytes that all queued calls take that have not run.");
const BYTES_LIMIT: (&str, &str) =
    ("skep_queue_limit_bytes", "Bytes that queued calls may take; beyond it the gateway refuses more.");

pub(crate) struct Queues {
    known: Mutex<HashMap<FunctionName, Known>>,
    used: Notify,
    /// What all that waits takes.
    bytes: AtomicU64,
    depth: IntGaugeVec,
    age: GaugeVec,
    shown_bytes: IntGauge,
}

struct Known {
    used: Instant,
    seen: Option<(Instant, Waiting)>,
    /// Calls that wait for their time, or for another attempt.
    delayed: u64,
    delayed_seen: Option<Instant>,
    delayed_first_bytes: u64,
    held: Held,
}

impl Known {
    fn since(now: Instant) -> Self {
        Self { used: now, seen: None, delayed: 0, delayed_seen: None, delayed_first_bytes: 0, held: Held::default() }
    }
}

/// What waits for a function, as far as it is known.
#[derive(Clone, Copy, Default)]
pub(crate) struct Queue {
    pub(crate) waiting: Option<Waiting>,
    /// About what it takes, with the calls that wait for their time.
    pub(crate) bytes: u64,
}

impl Queues {
    /// `limit` is that of the bytes of all waiting calls.
    pub(crate) fn register(limit: u64, registry: &Registry) -> prometheus::Result<Self> {
        let depth = IntGaugeVec::new(Opts::new(DEPTH.0, DEPTH.1), &[LABEL])?;
        let age = GaugeVec::new(Opts::new(AGE.0, AGE.1), &[LABEL])?;
        registry.register(Box::new(depth.clone()))?;
        registry.register(Box::new(age.clone()))?;
        let (shown_bytes, shown_limit) =
            (IntGauge::new(BYTES.0, BYTES.1)?, IntGauge::new(BYTES_LIMIT.0, BYTES_LIMIT.1)?);
        shown_limit.set(limit.try_into().unwrap_or(i64::MAX));
        registry.register(Box::new(shown_bytes.clone()))?;
        registry.register(Box::new(shown_limit))?;
        Ok(Self { known: Mutex::default(), used: Notify::new(), bytes: AtomicU64::new(0), depth, age, shown_bytes })
    }

    /// What waits for a function that is called now.
    pub(crate) fn of(&self, function: &FunctionName) -> Queue {
        let now = Instant::now();
        let mut known = self.known();
        if let Some(known) = known.get_mut(function) {
            known.used = now;
            let waiting = known.seen.filter(|(at, _)| now - *at < FIGURES_TTL).map(|(_, waiting)| waiting);
            return Queue { waiting, bytes: known.held.bytes };
        }
        known.insert(function.clone(), Known::since(now));
        self.used.notify_one();
        Queue::default()
    }

    /// A call of this many bytes was accepted.
    pub(crate) fn add(&self, function: &FunctionName, bytes: u64, is_delayed: bool) {
        // It is known since it was admitted.
        if let Some(known) = self.known().get_mut(function) {
            known.held.add(bytes);
            known.delayed += u64::from(is_delayed);
        }
    }

    /// The bytes of all waiting calls at the last poll.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Those whose figures are the oldest.
    fn next(&self) -> Vec<FunctionName> {
        let known = self.known();
        let mut next: Vec<_> = known.iter().map(|(name, known)| (known.seen.map(|(at, _)| at), name)).collect();
        next.sort_unstable();
        next.into_iter().take(TOGETHER).map(|(_, name)| name.clone()).collect()
    }

    /// Those of which the delayed calls are to be counted.
    fn due_for_count(&self, functions: &[FunctionName]) -> Vec<FunctionName> {
        let known = self.known();
        let is_due = |known: &Known| known.delayed_seen.is_none_or(|at| at.elapsed() >= COUNT_DELAYED_INTERVAL);
        functions.iter().filter(|name| known.get(*name).is_some_and(is_due)).cloned().collect()
    }

    /// This many calls of a function are delayed, and the first takes this many bytes.
    fn see_delayed(&self, function: &FunctionName, calls: u64, first_bytes: u64) {
        if let Some(known) = self.known().get_mut(function) {
            known.delayed = calls;
            known.delayed_seen = Some(Instant::now());
            known.delayed_first_bytes = first_bytes;
        }
    }

    /// `delayed` calls of all functions wait for their time.
    fn see(&self, seen: Waits, delayed: u64) {
        let now = Instant::now();
        let mut known = self.known();
        for name in seen.others {
            known.entry(name).or_insert_with(|| Known::since(now));
        }
        for (name, waiting) in seen.functions {
            let label = name.to_string();
            let known = known.entry(name).or_insert_with(|| Known::since(now));
            known.seen = Some((now, waiting));
            let sample = waiting.first_bytes.max(known.delayed_first_bytes);
            // What became due since it was counted is in the depth as well: no more than `COUNT_DELAYED_INTERVAL` long, and only while others' calls are delayed.
            known.delayed = known.delayed.min(delayed);
            known.held.correct(waiting.depth + known.delayed, sample);
            self.depth.with_label_values(&[&label]).set(waiting.depth.try_into().unwrap_or(i64::MAX));
            self.age.with_label_values(&[&label]).set(waiting.age.as_secs_f64());
        }
        known.retain(|name, known| {
            let is_empty = known.seen.is_some_and(|(_, waiting)| waiting.depth == 0);
            let is_kept = !is_empty || now - known.used < IN_USE_TTL;
            if !is_kept {
                let label = name.to_string();
                // Both are there since it was seen first.
                let _ = (self.depth.remove_label_values(&[&label]), self.age.remove_label_values(&[&label]));
            }
            is_kept
        });
    }

    fn known(&self) -> MutexGuard<'_, HashMap<FunctionName, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at the functions that are called, until shutdown.
pub(crate) async fn follow(app: &App) {
    app.shutdown.run_until_cancelled(keep_checking(app)).await;
}

async fn check(app: &App) -> skep_bus::Result<()> {
    let queued = app.bus.queue_depth.queued().await?;
    app.queues.bytes.store(queued.bytes, Ordering::Relaxed);
    app.queues.shown_bytes.set(queued.bytes.try_into().unwrap_or(i64::MAX));
    let functions = app.queues.next();
    for function in app.queues.due_for_count(&functions) {
        let (calls, first_bytes) =
            if queued.delayed == 0 { (0, 0) } else { app.bus.queue_depth.delayed_calls(&function).await? };
        app.queues.see_delayed(&function, calls, first_bytes);
    }
    app.queues.see(app.bus.queue_depth.waiting(&functions).await?, queued.delayed);
    Ok(())
}

async fn keep_checking(app: &App) {
    loop {
        match check(app).await {
            Ok(()) => {}
            Err(error) => debug!(error = error.chain(), "queue depths are unavailable; trying again"),
        }
        if app.queues.known().is_empty() {
            // It only ends sooner.
            let _ = timeout(IDLE_CHECK_INTERVAL, app.queues.used.notified()).await;
        } else {
            sleep(CHECK_INTERVAL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(function: &FunctionName, depth: u64) -> Waits {
        let waiting = Waiting { depth, first_bytes: 100, ..Waiting::default() };
        Waits { functions: HashMap::from([(function.clone(), waiting)]), others: Vec::new() }
    }

    #[test]
    fn calls_that_have_become_due_count_once_although_nobody_has_counted_the_delayed_again() {
        let queues = Queues::register(1, &Registry::new()).unwrap();
        let function: FunctionName = "cat".parse().unwrap();
        let bytes = || queues.of(&function).bytes;
        assert_eq!(bytes(), 0);
        for _ in 0..10 {
            queues.add(&function, 100, true);
        }
        queues.see(waits(&function, 0), 10);
        assert_eq!(bytes(), 1000);
        queues.see(waits(&function, 7), 3);
        assert_eq!(bytes(), 1000, "seven are due");
        queues.see(waits(&function, 10), 0);
        assert_eq!(bytes(), 1000, "all are due");
        queues.see(waits(&function, 10), 500);
        assert_eq!(bytes(), 1000, "those of others do not count");
    }

    #[test]
    fn what_is_counted_twice_is_no_more_than_others_have_delayed_and_the_next_count_ends_it() {
        let queues = Queues::register(1, &Registry::new()).unwrap();
        let function: FunctionName = "cat".parse().unwrap();
        queues.of(&function);
        (0..10).for_each(|_| queues.add(&function, 100, true));
        // All of them are due, and four of another function are delayed.
        queues.see(waits(&function, 10), 4);
        assert_eq!(queues.of(&function).bytes, 1400);
        queues.see_delayed(&function, 0, 0);
        queues.see(waits(&function, 10), 4);
        assert_eq!(queues.of(&function).bytes, 1000);
    }
}
