//! How much a function is used from here.

mod oldest;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use skep_protocol::{CallFigures, CallTimes};
use tokio::time::Instant;

use self::oldest::Oldest;
use crate::{busy::Busy, metrics::FunctionMetrics};

/// One function's calls from here.
#[derive(Default)]
pub(crate) struct Usage {
    /// Calls that have begun and not ended; those that wait for a replica are among them.
    under_way: AtomicUsize,
    busy: Busy,
    /// Calls that wait for a replica or a slot.
    held: AtomicUsize,
    /// How long the longest call ran that has ended since the last report, in milliseconds.
    longest: AtomicU64,
    touched: AtomicBool,
    reported: Mutex<Reported>,
}

/// What has been reported so far.
#[derive(Default)]
struct Reported {
    started: u64,
    ended: u64,
    failed: u64,
    times: CallTimes,
    oldest: Oldest,
}

impl Usage {
    /// That of a function of which other calls may have been counted before.
    pub(crate) fn since(metrics: &FunctionMetrics) -> Self {
        let (started, figures) = (metrics.started(), metrics.figures());
        let times = metrics.times();
        let reported =
            Reported { started, ended: figures.ended, failed: figures.failed, times, oldest: Oldest::default() };
        Self { reported: Mutex::new(reported), ..Self::default() }
    }

    pub(crate) fn begin(&self, at: Instant) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.busy.begin(at);
    }

    /// Ends what was begun.
    pub(crate) fn end(&self, at: Instant, took: Duration) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        // Few calls are the longest one, and the others write nothing.
        if ms > self.longest.load(Ordering::Relaxed) {
            self.longest.fetch_max(ms, Ordering::Relaxed);
        }
        self.busy.end(at);
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    /// The wait of a call that has begun, which is no time that it runs.
    pub(crate) fn paused(&self) -> Paused<'_> {
        self.held.fetch_add(1, Ordering::Relaxed);
        self.busy.end(Instant::now());
        Paused(self)
    }

    pub(crate) fn touch(&self) {
        self.touched.store(true, Ordering::Relaxed);
    }

    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// What has happened since this was asked last; `None` if nothing has, and nothing goes on.
    pub(crate) fn take(&self, metrics: &FunctionMetrics) -> Option<CallFigures> {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let (busy, started) = (self.busy.take(), metrics.started());
        let held = self.held.load(Ordering::Relaxed) as u64;
        let touched = self.touched.swap(false, Ordering::Relaxed);
        let is_used = busy.in_flight > 0 || busy.ms > 0 || held > 0 || touched || started > reported.started;
        if !is_used && metrics.ended() == reported.ended {
            return None;
        }
        let figures = metrics.figures();
        let oldest = reported.oldest.age(started, busy.in_flight, Instant::now()).as_millis();
        let times = if figures.ended > reported.ended { metrics.times() } else { reported.times };
        let calls = CallFigures {
            arrived: started.saturating_sub(reported.started),
            done: figures.ended.saturating_sub(reported.ended),
            failed: figures.failed.saturating_sub(reported.failed),
            busy_ms: busy.ms,
            longest_ms: self.longest.swap(0, Ordering::Relaxed).max(u64::try_from(oldest).unwrap_or(u64::MAX)),
            in_flight: busy.in_flight,
            held,
            times: times.since(&reported.times),
        };
        (reported.started, reported.ended, reported.failed) = (started, figures.ended, figures.failed);
        reported.times = times;
        Some(calls)
    }
}

/// A call that has begun and waits for a replica.
pub(crate) struct Paused<'usage>(&'usage Usage);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.busy.begin(Instant::now());
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A call that has not begun, because it waits for a slot of its function.
pub struct WaitingCall(Arc<Usage>);

impl WaitingCall {
    pub(crate) fn begin(usage: &Arc<Usage>) -> Self {
        usage.held.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(usage))
    }
}

impl Drop for WaitingCall {
    fn drop(&mut self) {
        // What ends now was in use until now.
        self.0.touch();
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
