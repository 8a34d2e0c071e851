//! How long calls took: a histogram that is small enough to be sent each second.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::stats::MAX_FIGURE;

/// Upper bounds in seconds. Half a millisecond is usual, and some functions run for minutes. A fast call is compared with the first bounds only.
///
/// They are a promise on the wire: reports of all versions have these.
pub const TIME_BOUNDS: [f64; 18] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// One bucket below each bound, and one above the last.
const BUCKETS: usize = TIME_BOUNDS.len() + 1;

/// Numbers of calls by how long they took. On the wire it is a list without the zeros at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallTimes([u64; BUCKETS]);

impl CallTimes {
    /// Adds calls to the bucket at a place.
    pub fn count(&mut self, bucket: usize, calls: u64) {
        self.0[bucket.min(BUCKETS - 1)] += calls;
    }

    /// Adds what another sender has seen, or the same one later.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, calls)| *sum += calls);
    }

    /// What has come since an earlier count.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut left = *self;
        left.0.iter_mut().zip(before.0).for_each(|(calls, before)| *calls = calls.saturating_sub(before));
        left
    }

    pub fn is_empty(&self) -> bool {
        self.0 == [0; BUCKETS]
    }

    /// How many seconds at most the given part of the calls took, estimated within a bucket as Prometheus does; `None` without calls.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let rank = self.0.iter().sum::<u64>() as f64 * part;
        let (mut below, mut low) = (0.0, 0.0);
        for (calls, high) in self.0.iter().zip(TIME_BOUNDS) {
            let calls = *calls as f64;
            if calls > 0.0 && below + calls >= rank {
                return Some(low + (high - low) * (rank - below) / calls);
            }
            (below, low) = (below + calls, high);
        }
        (!self.is_empty()).then_some(low)
    }
}

impl Serialize for CallTimes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let length = self.0.iter().rposition(|calls| *calls > 0).map_or(0, |last| last + 1);
        serializer.collect_seq(&self.0[..length])
    }
}

impl<'de> Deserialize<'de> for CallTimes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut times = Self::default();
        for (bucket, calls) in Vec::<u64>::deserialize(deserializer)?.into_iter().enumerate() {
            times.count(bucket, calls.min(MAX_FIGURE));
        }
        Ok(times)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_str, to_string};

    use super::*;

    fn times(calls: &[(usize, u64)]) -> CallTimes {
        let mut times = CallTimes::default();
        calls.iter().for_each(|(bucket, calls)| times.count(*bucket, *calls));
        times
    }

    #[test]
    fn a_quantile_is_estimated_within_its_bucket() {
        assert_eq!(CallTimes::default().quantile(0.5), None);
        let spread = times(&[(1, 50), (9, 50)]);
        assert_eq!(spread.quantile(0.5), Some(0.001));
        assert_eq!(spread.quantile(0.25), Some(0.000_75));
        let late = spread.quantile(0.95).unwrap();
        assert!((late - 0.475).abs() < 1e-9, "{late}");
        assert_eq!(times(&[(18, 3)]).quantile(0.95), Some(300.0), "above the last bound nothing more is known");
    }

    #[test]
    fn on_the_wire_it_has_no_zeros_at_its_end() {
        let seen = times(&[(0, 1), (2, 7)]);
        assert_eq!(to_string(&seen).unwrap(), "[1,0,7]");
        assert_eq!(from_str::<CallTimes>("[1,0,7]").unwrap(), seen);
        assert_eq!(to_string(&CallTimes::default()).unwrap(), "[]");
        let longer = format!("[{}]", ["1"; 25].join(","));
        assert_eq!(from_str::<CallTimes>(&longer).unwrap().quantile(1.0), Some(300.0));
    }

    #[test]
    fn what_has_come_since_is_what_is_added_again() {
        let (before, more) = (times(&[(0, 2), (3, 1)]), times(&[(3, 4)]));
        let mut now = before;
        now.add(&more);
        assert_eq!((now.since(&before), before.since(&now)), (more, CallTimes::default()));
    }
}
