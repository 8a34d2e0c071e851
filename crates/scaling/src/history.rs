//! The last two minutes of a function.

use std::{collections::VecDeque, time::Duration};

use crate::Observation;

/// How far back a mean may look.
pub(crate) const MAX_LOOK_BACK: f64 = 120.0;
/// How long the longest call is remembered.
const LONGEST_TTL: Duration = Duration::from_secs(300);
/// Calls that a mean of their occupancy should hold.
const ENOUGH_CALLS: f64 = 50.0;
/// It covers at least this many seconds.
const MIN_OCCUPANCY_WINDOW: f64 = 5.0;

/// What one observation adds to sums; times are in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) span: f64,
    pub(crate) arrived: f64,
    pub(crate) busy: f64,
    pub(crate) done: f64,
    pub(crate) failed: f64,
    /// Replica-seconds, and core-seconds where the use of the CPU is known.
    pub(crate) replicas: f64,
    pub(crate) cores: f64,
    pub(crate) queued: f64,
}

impl Sums {
    fn of(seen: &Observation, span: f64) -> Self {
        let replicas = f64::from(seen.ready) * span;
        Self {
            span,
            arrived: seen.arrived.max(0.0),
            busy: seen.busy.as_secs_f64(),
            done: seen.done.max(0.0),
            failed: seen.failed.clamp(0.0, seen.done.max(0.0)),
            replicas,
            cores: seen.cpu.unwrap_or(0.0).max(0.0) / 1000.0 * replicas,
            queued: seen.queued().max(0.0) * span,
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.span += other.span;
        self.arrived += other.arrived;
        self.busy += other.busy;
        self.done += other.done;
        self.failed += other.failed;
        self.replicas += other.replicas;
        self.cores += other.cores;
        self.queued += other.queued;
    }

    /// A sum as a rate: the mean over the seconds of this sum.
    pub(crate) fn per_second(&self, sum: f64) -> f64 {
        if self.span > 0.0 { sum / self.span } else { 0.0 }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// The newest last.
    seconds: VecDeque<Sums>,
    /// When a call was seen, and how long it had run; the longest first, and each that follows is newer.
    longest: VecDeque<(Duration, f64)>,
}

impl History {
    pub(crate) fn push(&mut self, seen: &Observation, span: f64, now: Duration) {
        self.seconds.push_back(Sums::of(seen, span));
        let mut covered: f64 = self.seconds.iter().map(|second| second.span).sum();
        while let Some(oldest) = self.seconds.front()
            && covered - oldest.span >= MAX_LOOK_BACK
        {
            covered -= oldest.span;
            self.seconds.pop_front();
        }
        let longest = seen.longest.as_secs_f64();
        while self.longest.back().is_some_and(|(_, shorter)| *shorter <= longest) {
            self.longest.pop_back();
        }
        self.longest.push_back((now, longest));
        while self.longest.front().is_some_and(|(at, _)| now.saturating_sub(*at) > LONGEST_TTL) {
            self.longest.pop_front();
        }
    }

    /// The newest observation.
    pub(crate) fn last(&self) -> Sums {
        self.seconds.back().copied().unwrap_or_default()
    }

    /// The sums of the last `seconds`, or of as many as there are.
    pub(crate) fn over(&self, seconds: f64) -> Sums {
        self.until(|sums| sums.span >= seconds - 0.5)
    }

    /// The sums of as many seconds as hold enough calls that ended.
    pub(crate) fn enough(&self) -> Sums {
        self.until(|sums| sums.done >= ENOUGH_CALLS && sums.span >= MIN_OCCUPANCY_WINDOW)
    }

    fn until(&self, enough: impl Fn(&Sums) -> bool) -> Sums {
        let mut sums = Sums::default();
        for second in self.seconds.iter().rev() {
            sums.add(second);
            if enough(&sums) {
                break;
            }
        }
        sums
    }

    /// The longest that a call was seen to run, in the last five minutes.
    pub(crate) fn longest(&self) -> f64 {
        self.longest.front().map_or(0.0, |(_, longest)| *longest)
    }
}
