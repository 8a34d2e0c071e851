//! Whether the server has stopped storing calls, as with a full disk or without most of its cluster, although the connection stands.
//!
//! Meanwhile one caller at a time tries, and all others are refused at once, so that each need not wait for a timeout.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What callers read.
pub(crate) const STORES_NOTHING: &str =
    "it stores nothing now: its disk is full, or too few servers of its cluster are up";

#[derive(Clone)]
pub(crate) struct Stalled {
    is_stalled: Arc<AtomicBool>,
    /// Tries that the server has answered.
    answers: Arc<AtomicU64>,
    tries: Arc<Semaphore>,
}

/// The right to try; other callers may try when it is dropped.
pub(crate) struct Admitted {
    /// How many were answered before.
    answers: u64,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Default for Stalled {
    fn default() -> Self {
        Self { is_stalled: Arc::default(), answers: Arc::default(), tries: Arc::new(Semaphore::new(1)) }
    }
}

impl Stalled {
    /// `None` if the server stores nothing, and someone is trying already.
    pub(crate) fn admit(&self) -> Option<Admitted> {
        if !self.is_stalled.load(Ordering::Relaxed) {
            return Some(Admitted { answers: self.answers.load(Ordering::Relaxed), _permit: None });
        }
        let permit = Arc::clone(&self.tries).try_acquire_owned().ok()?;
        Some(Admitted { answers: self.answers.load(Ordering::Relaxed), _permit: Some(permit) })
    }

    /// Notes whether the server has answered a try.
    pub(crate) fn note(&self, admitted: Admitted, has_answered: bool) {
        if has_answered {
            self.answers.fetch_add(1, Ordering::Relaxed);
            self.is_stalled.store(false, Ordering::Relaxed);
        } else if self.answers.load(Ordering::Relaxed) == admitted.answers {
            // A try that began before the last answer says nothing of the server now.
            self.is_stalled.store(true, Ordering::Relaxed);
        }
        drop(admitted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_nothing_is_stored_one_caller_tries() {
        let stalled = Stalled::default();
        let (first, second, late) = (stalled.admit().unwrap(), stalled.admit().unwrap(), stalled.admit().unwrap());
        stalled.note(first, false);
        let probe = stalled.admit().unwrap();
        assert!(stalled.admit().is_none());
        // Callers that do not come to their end, and those that fail, leave the place to others.
        drop(probe);
        let probe = stalled.admit().unwrap();
        stalled.note(probe, false);
        assert!(stalled.admit().is_some());
        stalled.note(second, true);
        assert!(stalled.admit().is_some() && stalled.admit().is_some());
        stalled.note(late, false);
        let (one, other) = (stalled.admit(), stalled.admit());
        assert!(one.is_some() && other.is_some(), "it began before the server answered again");
    }
}
