//! What is counted of a version on trial, and of the version beside it: a canary, or an update whose first calls are awaited.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::FunctionName;

/// The longest time of the first bucket.
const FIRST_BUCKET: Duration = Duration::from_micros(250);
/// Buckets for each doubling of the time.
const BUCKETS_PER_DOUBLING: u32 = 4;
/// Together they reach a day.
const MAX_BUCKETS: usize = 116;

/// What one gateway or queue-worker has counted; published each second, and nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialReport {
    /// The process; another one has another name.
    pub process: String,
    pub trials: Vec<TrialCounts>,
}

/// The calls of one function since its version is on trial, as one process has counted them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialCounts {
    pub function: FunctionName,
    pub trial: TrialId,
    /// Calls that the version on trial took.
    pub new: CallCounts,
    /// Calls that the version beside it took.
    #[serde(default)]
    pub old: CallCounts,
}

/// A version on trial. A function that is deployed again counts its versions from 1, so the time is a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TrialId {
    pub version: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// How calls have ended. Only ever counts up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCounts {
    /// Those that were answered with a status below 500.
    pub answered: u64,
    /// Those that failed: a status of 500 or more, a replica that broke off, no connection, or no answer in time.
    pub failed: u64,
    /// How many of the answered ones took about how long.
    pub latency: LatencyCounts,
}

/// How many calls took about how long: each bucket is 19 % longer than the one before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<u64>", into = "Vec<u64>")]
pub struct LatencyCounts(Vec<u64>);

/// Calls of a version, as people read them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrialFigures {
    pub calls: u64,
    pub failed: u64,
    /// The time within which half of the calls were answered that did not fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_seconds: Option<f64>,
    /// The same for 95 of 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_seconds: Option<f64>,
}

impl CallCounts {
    pub fn calls(&self) -> u64 {
        self.answered.saturating_add(self.failed)
    }

    pub fn add(&mut self, other: &Self) {
        self.answered = self.answered.saturating_add(other.answered);
        self.failed = self.failed.saturating_add(other.failed);
        self.latency.add(&other.latency);
    }

    pub fn figures(&self) -> TrialFigures {
        let seconds = |percent| self.latency.quantile(percent).map(|took| took.as_secs_f64());
        TrialFigures { calls: self.calls(), failed: self.failed, median_seconds: seconds(50), p95_seconds: seconds(95) }
    }
}

impl TrialFigures {
    /// Failed calls in percent of all; 0 of none.
    pub fn failed_percent(&self) -> f64 {
        if self.calls == 0 { 0.0 } else { self.failed as f64 * 100.0 / self.calls as f64 }
    }
}

impl LatencyCounts {
    /// How many buckets there are.
    pub const BUCKETS: usize = MAX_BUCKETS;

    /// The bucket of a call that took this time.
    pub fn bucket(took: Duration) -> usize {
        let doublings = (took.as_secs_f64() / FIRST_BUCKET.as_secs_f64()).log2();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a negative number becomes 0")]
        let bucket = (doublings * f64::from(BUCKETS_PER_DOUBLING)).ceil() as usize;
        bucket.min(MAX_BUCKETS - 1)
    }

    /// The longest time in a bucket.
    fn longest(bucket: usize) -> Duration {
        let doublings = bucket as f64 / f64::from(BUCKETS_PER_DOUBLING);
        FIRST_BUCKET.mul_f64(doublings.exp2())
    }

    fn add(&mut self, other: &Self) {
        let length = self.0.len().max(other.0.len());
        self.0.resize(length, 0);
        for (count, more) in self.0.iter_mut().zip(&other.0) {
            *count = count.saturating_add(*more);
        }
    }

    /// How many calls surely took longer than this.
    pub fn slower_than(&self, longest: Duration) -> u64 {
        let first = Self::bucket(longest) + 1;
        self.0.iter().skip(first).fold(0, |slower, count| slower.saturating_add(*count))
    }

    /// The time within which this share of the calls ended, in percent; `None` without calls.
    pub fn quantile(&self, percent: u64) -> Option<Duration> {
        let all = self.0.iter().fold(0_u64, |all, count| all.saturating_add(*count));
        let wanted = all.saturating_mul(percent).div_ceil(100).max(1);
        let mut seen = 0_u64;
        let bucket = self.0.iter().position(|count| {
            seen = seen.saturating_add(*count);
            seen >= wanted
        });
        bucket.filter(|_| all > 0).map(Self::longest)
    }
}

impl FromIterator<u64> for LatencyCounts {
    fn from_iter<I: IntoIterator<Item = u64>>(counts: I) -> Self {
        Self::from(counts.into_iter().take(MAX_BUCKETS).collect::<Vec<_>>())
    }
}

impl From<Vec<u64>> for LatencyCounts {
    fn from(mut counts: Vec<u64>) -> Self {
        counts.truncate(MAX_BUCKETS);
        let used = counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        counts.truncate(used);
        Self(counts)
    }
}

impl From<LatencyCounts> for Vec<u64> {
    fn from(counts: LatencyCounts) -> Self {
        counts.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(milliseconds: &[u64]) -> LatencyCounts {
        let mut counts = vec![0; LatencyCounts::BUCKETS];
        for millis in milliseconds {
            counts[LatencyCounts::bucket(Duration::from_millis(*millis))] += 1;
        }
        counts.into()
    }

    #[test]
    fn a_quantile_is_at_most_a_fifth_too_long() {
        for millis in [0, 1, 3, 17, 250, 9_000, 3_600_000] {
            let found = counted(&[millis]).quantile(50).unwrap().as_secs_f64();
            let truth = (millis as f64 / 1000.0).max(FIRST_BUCKET.as_secs_f64());
            assert!(found >= truth * 0.999 && found < truth * 1.2, "{millis} ms: {found}");
        }
        assert_eq!(counted(&[]).quantile(50), None);
        let counts = counted(&[10, 10, 10, 10, 10, 10, 10, 10, 10, 900]);
        assert!(counts.quantile(50).unwrap() < Duration::from_millis(13));
        assert!(counts.quantile(95).unwrap() > Duration::from_millis(800));
    }

    #[test]
    fn counts_of_several_processes_add_up_and_travel_without_their_empty_end() {
        let mut all = CallCounts { answered: 2, failed: 1, latency: counted(&[1, 2]) };
        all.add(&CallCounts { answered: 1, failed: 0, latency: counted(&[500]) });
        assert_eq!((all.calls(), all.failed), (4, 1));
        assert_eq!(all.figures().failed_percent(), 25.0);
        assert_eq!(all.figures().median_seconds, counted(&[2]).quantile(50).map(|took| took.as_secs_f64()));
        let slow = counted(&[100, 100, 190, 210, 900]);
        assert_eq!(slow.slower_than(Duration::from_millis(200)), 1, "one is about as long");
        let text = serde_json::to_string(&counted(&[0, 1])).unwrap();
        assert_eq!(serde_json::from_str::<LatencyCounts>(&text).unwrap(), counted(&[0, 1]));
        assert!(text.len() < 30, "{text}");
        let many = serde_json::to_string(&vec![1; 10_000]).unwrap();
        assert_eq!(serde_json::from_str::<LatencyCounts>(&many).unwrap().0.len(), LatencyCounts::BUCKETS);
    }
}
