//! Calls that began to want a replica, from those that began to run and from the change of what waits.

use std::time::Duration;

use skep_protocol::CallFigures;
use tokio::time::Instant;

/// What is known of a function's calls that have not begun.
#[derive(Default)]
pub(super) struct Arrivals {
    /// Calls that waited at the last look.
    waited: u64,
    /// Calls that began before they were seen to wait no more.
    ahead: i64,
    /// Since when calls are held.
    held_since: Option<Instant>,
}

impl Arrivals {
    /// Calls that have arrived: those that began, and as many more as wait now than waited before.
    ///
    /// The two are not counted at the same moment, so what one second has too much is taken from the next.
    pub(super) fn next(&mut self, calls: &CallFigures, waiting: u64) -> u64 {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.ahead += signed(calls.arrived) + signed(waiting) - signed(self.waited);
        self.waited = waiting;
        let arrived = self.ahead.max(0);
        self.ahead -= arrived;
        arrived.unsigned_abs()
    }

    /// How long the oldest held call has waited: since calls are held, or as long as it takes to begin as many, if calls end meanwhile.
    pub(super) fn held_for(&mut self, calls: &CallFigures) -> Duration {
        if calls.held == 0 {
            self.held_since = None;
            return Duration::ZERO;
        }
        let since = self.held_since.get_or_insert_with(Instant::now).elapsed();
        if calls.done == 0 {
            since
        } else {
            since.min(Duration::from_secs(1).mul_f64(calls.held as f64 / calls.done as f64))
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[test]
    fn a_queued_call_arrives_once_when_it_waits_and_not_again_when_it_begins() {
        let mut arrivals = Arrivals::default();
        let mut next = |arrived, waiting| arrivals.next(&CallFigures { arrived, ..CallFigures::default() }, waiting);
        assert_eq!(next(0, 300), 300);
        assert_eq!(next(16, 284), 0);
        // It was seen to wait after some had begun, and then before.
        assert_eq!(next(16, 284), 16);
        assert_eq!(next(16, 252), 0);
        assert_eq!(next(0, 230), 0, "22 have begun, which is not reported yet");
        assert_eq!(next(27, 230), 0, "16 were counted too early");
        assert_eq!(next(16, 230), 5, "of 321 in all, 316 were counted");
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_call_waits_since_calls_are_held_unless_others_end() {
        let mut arrivals = Arrivals::default();
        let mut held_for = |held, done| arrivals.held_for(&CallFigures { held, done, ..CallFigures::default() });
        assert_eq!(held_for(0, 0), Duration::ZERO);
        assert_eq!(held_for(5, 0), Duration::ZERO);
        advance(Duration::from_secs(4)).await;
        assert_eq!(held_for(5, 0), Duration::from_secs(4));
        assert_eq!(held_for(5, 10), Duration::from_millis(500));
        assert_eq!(held_for(0, 0), Duration::ZERO);
        assert_eq!(held_for(1, 0), Duration::ZERO);
    }
}
