//! Delays before something that failed is tried again: each is twice as long as the one before, up to a maximum.
//!
//! It does not sleep, and it knows neither what failed nor whether to try again.

use std::time::Duration;

/// The shortest and the longest delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
}

impl Backoff {
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max }
    }

    /// The delay after this many failures in a row.
    pub fn after(self, failures: u64) -> Duration {
        let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(31);
        self.min.saturating_mul(1 << doublings).min(self.max)
    }

    /// The delays of one series of failures.
    pub const fn delays(self) -> Delays {
        Delays { backoff: self, failures: 0 }
    }
}

/// A series of failures, and the delay that follows each of them.
#[derive(Clone, Debug)]
pub struct Delays {
    backoff: Backoff,
    failures: u64,
}

impl Delays {
    /// Counts one more failure and returns the delay after it.
    pub fn next_delay(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.backoff.after(self.failures)
    }

    /// Starts again with the shortest delay.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Spreads a delay between three and five quarters of it, so that those who failed together do not try again together; `random` is from 0 up to 1.
pub fn jittered(delay: Duration, random: f64) -> Duration {
    delay.mul_f64(0.75 + random / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));

    fn millis(delays: &mut Delays) -> u128 {
        delays.next_delay().as_millis()
    }

    #[test]
    fn delays_double_up_to_the_maximum_and_start_again_after_a_reset() {
        let mut delays = BACKOFF.delays();
        let first: Vec<u128> = (0..6).map(|_| millis(&mut delays)).collect();
        assert_eq!(first, [100, 200, 400, 800, 1000, 1000]);
        delays.reset();
        assert_eq!(millis(&mut delays), 100);
    }

    #[test]
    fn any_number_of_failures_has_a_delay() {
        assert_eq!(BACKOFF.after(0), BACKOFF.after(1));
        assert_eq!(BACKOFF.after(u64::MAX), Duration::from_secs(1));
        assert_eq!(Backoff::new(Duration::from_secs(u64::MAX), Duration::MAX).after(3), Duration::MAX);
    }

    #[test]
    fn jitter_keeps_the_mean() {
        let delay = Duration::from_secs(4);
        assert_eq!([0.0, 0.5].map(|random| jittered(delay, random).as_secs()), [3, 4]);
        assert!(jittered(delay, 0.999) < Duration::from_secs(5));
    }
}
