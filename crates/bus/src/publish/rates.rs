//! Hot functions: they are called so often that their calls get lanes of their own.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use skep_protocol::FunctionName;
use tokio::time::Instant;

/// A function with more calls in a second, through this process, is hot.
const MIN_HOT_RATE: u32 = 256;
const RATE_INTERVAL: Duration = Duration::from_secs(1);

/// Counts calls; cheap to clone.
#[derive(Clone)]
pub(crate) struct Rates(Arc<Mutex<Counts>>);

struct Counts {
    since: Instant,
    now: HashMap<FunctionName, u32>,
    before: HashMap<FunctionName, u32>,
}

impl Default for Rates {
    fn default() -> Self {
        let counts = Counts { since: Instant::now(), now: HashMap::new(), before: HashMap::new() };
        Self(Arc::new(Mutex::new(counts)))
    }
}

impl Rates {
    /// Counts a call, and says whether there are many in this second, or were in the last.
    pub(crate) fn is_often(&self, function: &FunctionName) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = counts.since.elapsed();
        if age >= RATE_INTERVAL {
            let now = mem::take(&mut counts.now);
            counts.before = if age < 2 * RATE_INTERVAL { now } else { HashMap::new() };
            counts.since = Instant::now();
        }
        let count = match counts.now.get_mut(function) {
            Some(count) => {
                *count = count.saturating_add(1);
                *count
            }
            None => {
                counts.now.insert(function.clone(), 1);
                1
            }
        };
        count > MIN_HOT_RATE || counts.before.get(function).is_some_and(|count| *count > MIN_HOT_RATE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_calls_are_told_from_few_for_as_long_as_they_come() {
        let (rates, busy, quiet) = (Rates::default(), "busy".parse().unwrap(), "quiet".parse().unwrap());
        let is_often = |function| (0..MIN_HOT_RATE).map(|_| rates.is_often(function)).filter(|often| *often).count();
        assert_eq!(is_often(&busy), 0);
        assert!(rates.is_often(&busy) && !rates.is_often(&quiet));
        tokio::time::advance(RATE_INTERVAL).await;
        assert!(rates.is_often(&busy), "there were many in the second before");
        tokio::time::advance(RATE_INTERVAL).await;
        assert!(!rates.is_often(&busy));
    }
}
