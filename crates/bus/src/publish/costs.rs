//! Whether messages cost less in a batch. A server that syncs each message is slow with single ones; one that does not is slow with batches.
//!
//! What a single message costs is measured. It differs a hundredfold between servers, so the cost of a batch need not be measured as well (docs/adr/0011).

use std::time::Duration;

/// Fewer messages are always sent one by one.
const MIN_BATCH: usize = 8;
/// Once in this many batches, messages are sent one by one instead: the server or the disk may have changed.
const MEASURE_INTERVAL: u32 = 32;
/// What the server needs for the files of a batch, in seconds.
const BATCH: f64 = 3e-3;
/// What one message more adds to a batch, in seconds.
const MORE_IN_BATCH: f64 = 15e-6;

/// What one of several messages takes that are sent one by one, in seconds; an average that forgets.
pub(crate) struct SingleCost {
    seconds: f64,
    batches: u32,
}

impl Default for SingleCost {
    /// A disk that syncs in 0.13 ms.
    fn default() -> Self {
        Self { seconds: 130e-6, batches: 0 }
    }
}

impl SingleCost {
    /// Whether this many messages cost less together.
    pub(crate) fn prefer_together(&self, count: usize) -> bool {
        let number = count as f64;
        count >= MIN_BATCH && BATCH + number * MORE_IN_BATCH < number * self.seconds
    }

    /// The same for the next flight, except for the one that measures.
    pub(crate) fn are_less_together(&mut self, count: usize) -> bool {
        if !self.prefer_together(count) {
            return false;
        }
        self.batches = self.batches.wrapping_add(1);
        !self.batches.is_multiple_of(MEASURE_INTERVAL)
    }

    /// The time that this many messages took, one by one.
    pub(crate) fn took(&mut self, count: usize, elapsed: Duration) {
        if count >= MIN_BATCH {
            self.seconds = f64::midpoint(self.seconds, elapsed.as_secs_f64() / count as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the last hundred flights go together, on a server with these costs in microseconds.
    fn together(single: u64, count: usize) -> usize {
        let mut cost = SingleCost::default();
        let mut flights = Vec::new();
        for _ in 0..200 {
            let together = cost.are_less_together(count);
            if !together {
                cost.took(count, Duration::from_micros(single * count as u64));
            }
            flights.push(together);
        }
        flights.split_off(100).into_iter().filter(|together| *together).count()
    }

    #[test]
    fn what_costs_less_is_found_out() {
        assert!(together(130, 64) > 90, "each message is synced");
        assert_eq!(together(12, 64), 0, "nothing is synced");
        assert_eq!(together(130, 20), 0, "too few for what a batch costs");
        assert!(together(1000, MIN_BATCH) > 90, "a slow disk");
        assert_eq!(together(1000, MIN_BATCH - 1), 0);
    }

    #[test]
    fn a_server_that_syncs_no_longer_is_noticed() {
        let mut cost = SingleCost::default();
        assert!(cost.prefer_together(64));
        let measured = (0..10 * MEASURE_INTERVAL).filter(|_| {
            let is_measured = !cost.are_less_together(64);
            if is_measured {
                cost.took(64, Duration::from_micros(12 * 64));
            }
            is_measured
        });
        assert!(measured.count() > 10 && !cost.prefer_together(64));
    }
}
