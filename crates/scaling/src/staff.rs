//! How many slots a function needs when replicas that are started now are ready.

/// Calls that come in at random and hold a slot for some time, as a queue with any number of slots has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    /// Calls that hold a slot now.
    pub(crate) held: f64,
    /// Calls that come in per second.
    pub(crate) rate: f64,
    /// How long a call holds its slot, in seconds.
    pub(crate) occupancy: f64,
}

/// A load below this is none: means decay and never reach zero.
const NO_LOAD: f64 = 0.01;
/// Standard deviations above the mean that there are always slots for; with none, a queue would not end.
const STEADY: f64 = 0.5;
/// Standard deviations above the mean for which calls begin in time.
const PEAK: f64 = 1.2;

impl Flow {
    /// The mean number of slots that are held `seconds` from now.
    pub(crate) fn mean(&self, seconds: f64) -> f64 {
        let stays = self.stays(seconds);
        self.held * stays + self.rate * self.occupancy * (1.0 - stays)
    }

    /// Its variance: those that run now may have ended, and any number may have come in.
    fn variance(&self, seconds: f64) -> f64 {
        let stays = self.stays(seconds);
        (self.held * stays + self.rate * self.occupancy) * (1.0 - stays)
    }

    /// The share of the calls that run now which still run then.
    fn stays(&self, seconds: f64) -> f64 {
        if self.occupancy > 0.0 { (-seconds / self.occupancy).exp() } else { 0.0 }
    }

    /// The slots that it needs `seconds` from now, if calls may wait for `wait` seconds.
    ///
    /// Of long calls, those that run now run then. Of short ones, only their rate is known.
    /// Spare slots grow with the square root of the load, and while a call waits, slots become free:
    /// the shorter the calls are, the fewer must be spare.
    pub(crate) fn slots(&self, seconds: f64, wait: f64) -> f64 {
        let mean = self.mean(seconds);
        if mean < NO_LOAD {
            return 0.0;
        }
        let deviation = self.variance(seconds).sqrt();
        let peak = (mean + PEAK * deviation) * self.occupancy / (self.occupancy + wait);
        peak.max(mean + STEADY * deviation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_calls_are_known_by_their_rate_and_long_ones_by_what_runs() {
        let short = Flow { held: 9.0, rate: 20.0, occupancy: 0.1 };
        assert!((short.mean(3.0) - 2.0).abs() < 0.01);
        let long = Flow { held: 9.0, rate: 0.01, occupancy: 600.0 };
        assert!((long.mean(3.0) - 9.0).abs() < 0.1);
    }

    #[test]
    fn spare_slots_are_fewer_where_calls_may_wait() {
        let flow = Flow { held: 0.0, rate: 100.0, occupancy: 1.0 };
        // A mean of 100 slots, and a deviation of 10.
        assert!((flow.slots(30.0, 0.0) - 112.0).abs() < 0.1);
        assert!((flow.slots(30.0, 0.05) - 106.7).abs() < 0.1);
        assert!((flow.slots(30.0, 1.0) - 105.0).abs() < 0.1);
    }

    #[test]
    fn a_load_that_decays_reaches_zero() {
        assert_eq!(Flow { held: 0.0, rate: 0.001, occupancy: 5.0 }.slots(3.0, 1.0), 0.0);
    }
}
