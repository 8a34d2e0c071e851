//! How long the calls of a function have run altogether: the integral of the number of calls in flight.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Time counts from here, in units of ten microseconds. It is a little earlier than the first call.
static EPOCH: LazyLock<Instant> = LazyLock::new(|| {
    let now = Instant::now();
    now.checked_sub(Duration::from_secs(60)).unwrap_or(now)
});
const TICKS_PER_MS: u64 = 100;
/// What a call in flight counts for: more time than a process runs, so that both fit into one number.
const CALL: u64 = 1 << 46;

/// One number, so that begin and end of a call cost one atomic addition each, and nothing is seen halfway.
///
/// With n calls in flight, of which each has run for some time, and more that ended, it is n × [`CALL`], less the beginnings of all calls, plus the ends of those that ended.
/// At the time t that is n × (`CALL` − t) plus the time that all calls have run: quotient and remainder.
/// [`Busy::take`] subtracts what it returns, so the remainder stays small.
#[derive(Default)]
pub(crate) struct Busy(AtomicU64);

/// What was taken of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) in_flight: u64,
    /// How long calls have run, summed over all calls, since this was taken before.
    pub(crate) ms: u64,
}

impl Busy {
    pub(crate) fn begin(&self, at: Instant) {
        self.0.fetch_add(CALL.wrapping_sub(ticks(at)), Relaxed);
    }

    /// A call that had begun has ended.
    pub(crate) fn end(&self, at: Instant) {
        self.0.fetch_add(ticks(at).wrapping_sub(CALL), Relaxed);
    }

    /// Takes all whole milliseconds; the rest is for the next time.
    pub(crate) fn take(&self) -> Taken {
        let sum = self.0.load(Relaxed);
        // Read after the sum, so nothing in it is later.
        let (in_flight, time) = split(sum, ticks(Instant::now()));
        let ms = time / TICKS_PER_MS;
        self.0.fetch_sub(ms * TICKS_PER_MS, Relaxed);
        Taken { in_flight, ms }
    }
}

fn split(sum: u64, now: u64) -> (u64, u64) {
    let of_call = CALL.saturating_sub(now).max(1);
    let (calls, time) = (sum / of_call, sum % of_call);
    // Time below zero, of a clock that two threads read in another order.
    if time > of_call / 2 { (calls + 1, 0) } else { (calls, time) }
}

fn ticks(at: Instant) -> u64 {
    let since: Duration = at.saturating_duration_since(*EPOCH);
    since.as_secs() * 1000 * TICKS_PER_MS + u64::from(since.subsec_micros()) / 10
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn taken(in_flight: u64, ms: u64) -> Taken {
        Taken { in_flight, ms }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_all_calls_adds_up_whenever_it_is_taken() {
        let busy = Busy::default();
        busy.begin(Instant::now());
        advance(Duration::from_millis(300)).await;
        busy.begin(Instant::now());
        advance(Duration::from_millis(700)).await;
        assert_eq!(busy.take(), taken(2, 1700));
        advance(Duration::from_secs(10)).await;
        busy.end(Instant::now());
        advance(Duration::from_secs(1)).await;
        assert_eq!(busy.take(), taken(1, 21_000));
        busy.end(Instant::now());
        assert_eq!(busy.take(), taken(0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_shorter_than_a_millisecond_are_not_lost() {
        let busy = Busy::default();
        let mut ms = 0;
        for _ in 0..10 {
            busy.begin(Instant::now());
            advance(Duration::from_micros(250)).await;
            busy.end(Instant::now());
            ms += busy.take().ms;
        }
        assert_eq!(ms, 2);
        assert_eq!(busy.take(), taken(0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn many_calls_of_a_process_that_runs_for_a_year_are_counted() {
        let busy = Busy::default();
        assert!(ticks(Instant::now()) > 0);
        advance(Duration::from_secs(366 * 24 * 3600)).await;
        for _ in 0..100_000 {
            busy.begin(Instant::now());
        }
        advance(Duration::from_secs(1)).await;
        assert_eq!(busy.take(), taken(100_000, 100_000_000));
    }

    #[test]
    fn a_begin_that_seems_to_be_in_the_future_is_a_call() {
        let busy = Busy::default();
        let now = Instant::now();
        busy.begin(now + Duration::from_millis(1));
        assert_eq!(split(busy.0.load(Relaxed), ticks(now)), (1, 0));
    }

    #[test]
    fn threads_lose_nothing() {
        let busy = Busy::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        busy.begin(Instant::now());
                        busy.end(Instant::now());
                    }
                });
            }
            (0..100).for_each(|_| assert!(busy.take().in_flight <= 4));
        });
        assert_eq!(busy.take().in_flight, 0);
    }
}
