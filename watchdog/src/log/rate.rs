//! How many lines of the function's pass, and how many did not.

use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// A token bucket that holds one second's worth of lines, and the count of those that it did not let pass.
#[derive(Debug)]
pub(super) struct Cap {
    /// What one line takes of the second; `None` is no limit.
    cost: Option<Duration>,
    /// When the bucket is full again.
    full_at: Option<Instant>,
    dropped: u64,
    /// When the first of those was dropped that are not reported yet.
    since: Option<Instant>,
}

impl Cap {
    pub(super) fn new(rate: Option<u32>) -> Self {
        Self { cost: rate.map(|rate| SECOND / rate.max(1)), full_at: None, dropped: 0, since: None }
    }

    pub(super) fn lets_pass(&mut self, now: Instant) -> bool {
        let Some(cost) = self.cost else {
            return true;
        };
        let full_at = self.full_at.map_or(now, |full_at| full_at.max(now)) + cost;
        if full_at > now + SECOND {
            return false;
        }
        self.full_at = Some(full_at);
        true
    }

    /// Counts a line that does not pass, and returns whether it is the first to report.
    pub(super) fn count(&mut self, now: Instant) -> bool {
        self.dropped += 1;
        self.since.replace(self.since.unwrap_or(now)).is_none()
    }

    /// When to report it: a second after the first, so at most once a second.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + SECOND)
    }

    /// How many were dropped, if it is time to report or `at_once`.
    pub(super) fn take_dropped(&mut self, now: Instant, at_once: bool) -> Option<u64> {
        let due = self.due()?;
        if due > now && !at_once {
            return None;
        }
        self.since = None;
        Some(std::mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_one_second_passes_and_then_the_rate() {
        let mut cap = Cap::new(Some(5));
        let begin = Instant::now();
        let mut passed = |at: u64| (0..100).filter(|_| cap.lets_pass(begin + Duration::from_millis(at))).count();
        assert_eq!([passed(0), passed(100), passed(200), passed(1000), passed(60_000)], [5, 0, 1, 4, 5]);
        let mut unlimited = Cap::new(None);
        assert!((0..10_000).all(|_| unlimited.lets_pass(begin)));
    }

    #[test]
    fn what_was_dropped_is_told_once_a_second_and_at_the_end() {
        let mut cap = Cap::new(Some(1));
        let begin = Instant::now();
        assert_eq!((cap.due(), cap.take_dropped(begin, true)), (None, None));
        assert!(cap.count(begin));
        assert!(!cap.count(begin + SECOND / 2));
        assert_eq!(cap.take_dropped(begin + SECOND / 2, false), None);
        assert_eq!(cap.take_dropped(begin + SECOND, false), Some(2));
        assert!(cap.count(begin + SECOND));
        assert_eq!(cap.take_dropped(begin + SECOND, true), Some(1));
        assert_eq!(cap.due(), None);
    }
}
