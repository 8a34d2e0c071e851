//! Since when the oldest call runs, as far as counts show it: calls have no entries of their own.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// Moments that are kept. Beyond that, calls seem younger than they are.
const MAX_MOMENTS: usize = 600;

/// Up to which moment how many calls had begun, the oldest first.
#[derive(Default)]
pub(super) struct Oldest(VecDeque<(Instant, u64)>);

impl Oldest {
    /// The least that the oldest of the calls in flight can have run: as long as it has if calls end in the order in which they began.
    pub(super) fn age(&mut self, started: u64, in_flight: u64, now: Instant) -> Duration {
        if in_flight == 0 {
            self.0.clear();
            return Duration::ZERO;
        }
        if self.0.len() < MAX_MOMENTS && self.0.back().is_none_or(|(_, known)| *known < started) {
            self.0.push_back((now, started));
        }
        // The oldest of the last calls: it had begun at the first moment that counts as many.
        let oldest = (started + 1).saturating_sub(in_flight);
        while self.0.len() > 1 && self.0.front().is_some_and(|(_, known)| *known < oldest) {
            self.0.pop_front();
        }
        self.0.front().map_or(Duration::ZERO, |(since, _)| now.saturating_duration_since(*since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_call_is_as_old_as_the_moment_at_which_it_was_counted() {
        let (mut oldest, begin) = (Oldest::default(), Instant::now());
        let mut age = |second: u64, started, in_flight| {
            oldest.age(started, in_flight, begin + Duration::from_secs(second)).as_secs()
        };
        assert_eq!(age(0, 10, 0), 0);
        assert_eq!(age(1, 11, 1), 0);
        assert_eq!(age(5, 11, 1), 4);
        assert_eq!(age(6, 14, 4), 5, "it is one of four");
        assert_eq!(age(7, 14, 3), 1, "the one that ended was the first");
        assert_eq!(age(8, 20, 2), 0);
        assert_eq!(age(9, 20, 0), 0);
    }

    #[test]
    fn it_keeps_a_bounded_number_of_moments() {
        let (mut oldest, begin) = (Oldest::default(), Instant::now());
        for second in 0..2000 {
            oldest.age(second, second, begin + Duration::from_secs(second));
        }
        assert_eq!(oldest.0.len(), MAX_MOMENTS);
    }
}
