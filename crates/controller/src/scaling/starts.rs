//! How long replicas of a function take to start.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// Starts that count.
const MAX_STARTS: usize = 10;
/// As long as nothing is known.
const FIRST: Duration = Duration::from_secs(2);
/// One that takes longer says nothing about the next: its image was fetched, or it had failed.
const LONGEST: Duration = Duration::from_secs(120);

#[derive(Default)]
pub(super) struct Starts {
    /// When the last replicas were asked for that are not all ready.
    begun: Option<Instant>,
    took: VecDeque<Duration>,
}

impl Starts {
    pub(super) fn begin(&mut self) {
        self.begun = Some(Instant::now());
    }

    /// The number of ready replicas has changed.
    pub(super) fn see(&mut self, before: u64, after: u64, wanted: u64) {
        let Some(begun) = self.begun else { return };
        for _ in before..after.min(before + MAX_STARTS as u64) {
            self.took.push_back(begun.elapsed().min(LONGEST));
        }
        while self.took.len() > MAX_STARTS {
            self.took.pop_front();
        }
        if after >= wanted {
            self.begun = None;
        }
    }

    /// The median of the last ones, in whole milliseconds.
    pub(super) fn usual(&self) -> Duration {
        let mut sorted: Vec<_> = self.took.iter().collect();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).map_or(FIRST, |took| **took);
        Duration::from_millis(u64::try_from(median.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_usual_start_is_the_median_of_the_last_ten() {
        let mut starts = Starts::default();
        assert_eq!(starts.usual(), FIRST);
        starts.see(0, 1, 1);
        assert_eq!(starts.usual(), FIRST, "nobody knows when it was asked for");
        for seconds in [1, 9, 5] {
            starts.begin();
            advance(Duration::from_secs(seconds)).await;
            starts.see(1, 2, 2);
            starts.see(1, 2, 2);
        }
        assert_eq!(starts.usual(), Duration::from_secs(5));
        starts.begin();
        advance(Duration::from_secs(3)).await;
        starts.see(0, 20, 20);
        assert_eq!((starts.usual(), starts.took.len()), (Duration::from_secs(3), MAX_STARTS));
    }
}
