//! The measured cost of storing, one by one and in a batch. A server that syncs each message is slow with single ones; one that does not is slow with batches.

use std::time::Duration;

/// Fewer messages are always sent one by one.
const MIN_BATCH: usize = 8;
/// The other way is tried once in this many times, because the server or the disk may have changed.
const TRY_OTHER: u32 = 32;
const EARLY: u32 = 8;
/// What one message more adds to a batch, in seconds.
const MORE_IN_BATCH: f64 = 15e-6;

/// In seconds; averages that forget.
pub(crate) struct Costs {
    single: f64,
    batch: f64,
    decided: u32,
}

impl Default for Costs {
    /// A disk that syncs in 0.13 ms, and three milliseconds for the files that the server makes for a batch.
    fn default() -> Self {
        Self { single: 130e-6, batch: 3e-3, decided: 0 }
    }
}

impl Costs {
    /// Whether this many messages cost less together.
    pub(crate) fn prefer_together(&self, count: usize) -> bool {
        let number = count as f64;
        count >= MIN_BATCH && self.batch + number * MORE_IN_BATCH < number * self.single
    }

    /// The same for the next flight, and now and then the other way, to see what it takes.
    pub(crate) fn are_less_together(&mut self, count: usize) -> bool {
        if count < MIN_BATCH {
            return false;
        }
        self.decided = self.decided.wrapping_add(1);
        let tries_other = self.decided == EARLY || self.decided.is_multiple_of(TRY_OTHER);
        self.prefer_together(count) != tries_other
    }

    /// The time that this many messages took.
    pub(crate) fn took(&mut self, count: usize, together: bool, elapsed: Duration) {
        if count < MIN_BATCH {
            return;
        }
        let (number, elapsed) = (count as f64, elapsed.as_secs_f64());
        let (known, seen) = if together {
            (&mut self.batch, (elapsed - number * MORE_IN_BATCH).max(0.0))
        } else {
            (&mut self.single, elapsed / number)
        };
        *known = f64::midpoint(*known, seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the last hundred flights go together, on a server with these costs in microseconds.
    fn together(single: u64, batch: u64, count: usize) -> usize {
        let mut costs = Costs::default();
        let mut flights = Vec::new();
        for _ in 0..200 {
            let together = costs.are_less_together(count);
            let micros = if together { batch + 15 * count as u64 } else { single * count as u64 };
            costs.took(count, together, Duration::from_micros(micros));
            flights.push(together);
        }
        flights.split_off(100).into_iter().filter(|together| *together).count()
    }

    #[test]
    fn what_costs_less_is_found_out() {
        assert!(together(130, 3000, 64) > 90, "each message is synced");
        assert!(together(12, 2500, 64) < 10, "nothing is synced");
        assert!(together(130, 3000, 20) < 10, "too few for what a batch costs");
        assert_eq!(together(1000, 10, MIN_BATCH - 1), 0);
    }
}
