//! Which functions are called so often that their calls should not stand before those of others.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use skep_protocol::FunctionName;
use tokio::time::Instant;

/// A function with more calls in a second, through this process, has its calls in bulk.
const OFTEN: u32 = 256;
const WINDOW: Duration = Duration::from_secs(1);

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
        if age >= WINDOW {
            let now = mem::take(&mut counts.now);
            counts.before = if age < 2 * WINDOW { now } else { HashMap::new() };
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
        count > OFTEN || counts.before.get(function).is_some_and(|count| *count > OFTEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_calls_are_told_from_few_for_as_long_as_they_come() {
        let (rates, busy, quiet) = (Rates::default(), "busy".parse().unwrap(), "quiet".parse().unwrap());
        let is_often = |function| (0..OFTEN).map(|_| rates.is_often(function)).filter(|often| *often).count();
        assert_eq!(is_often(&busy), 0);
        assert!(rates.is_often(&busy) && !rates.is_often(&quiet));
        tokio::time::advance(WINDOW).await;
        assert!(rates.is_often(&busy), "there were many in the second before");
        tokio::time::advance(WINDOW).await;
        assert!(!rates.is_often(&busy));
    }
}
