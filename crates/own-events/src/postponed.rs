//! Facts that cannot be stored now: they wait in memory, bounded in number and time, and are stored later.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use skep_sources::Fact;
use tokio::sync::Notify;

/// Facts that wait at most.
const MAX_POSTPONED: usize = 1000;
/// How long one waits at most.
const POSTPONED_TTL: Duration = Duration::from_secs(3600);

#[derive(Default)]
pub(crate) struct Postponed {
    waiting: Mutex<VecDeque<Waiting>>,
    added: Notify,
}

/// A fact, and since when it waits.
#[derive(Clone)]
pub(crate) struct Waiting {
    pub(crate) fact: Fact,
    since: Instant,
}

impl Waiting {
    pub(crate) fn is_old(&self) -> bool {
        self.since.elapsed() > POSTPONED_TTL
    }
}

impl Postponed {
    /// Has a fact wait; `false` if there is no room.
    pub(crate) fn add(&self, fact: &Fact) -> bool {
        let mut waiting = self.waiting();
        let has_room = waiting.len() < MAX_POSTPONED;
        if has_room {
            waiting.push_back(Waiting { fact: fact.clone(), since: Instant::now() });
            self.added.notify_one();
        }
        has_room
    }

    /// The one that waits for the longest time, once there is one. It stays until it is removed.
    pub(crate) async fn first(&self) -> Waiting {
        loop {
            // In a statement of its own, so that the lock is free while this waits.
            let first = self.waiting().front().cloned();
            match first {
                Some(first) => return first,
                None => self.added.notified().await,
            }
        }
    }

    pub(crate) fn remove_first(&self) {
        self.waiting().pop_front();
    }

    /// All that wait, which wait no more.
    pub(crate) fn take_all(&self) -> Vec<Waiting> {
        self.waiting().drain(..).collect()
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(percent: u64) -> Fact {
        Fact::Disk { what: "storage".to_owned(), bytes: 1, limit: 1, percent, day: 1 }
    }

    #[tokio::test]
    async fn facts_wait_in_their_order_and_are_bounded() {
        let postponed = Postponed::default();
        for number in 0..MAX_POSTPONED as u64 {
            assert!(postponed.add(&disk(number)));
        }
        assert!(!postponed.add(&disk(0)), "there is no room");
        assert_eq!((postponed.first().await.fact, postponed.first().await.fact), (disk(0), disk(0)));
        postponed.remove_first();
        assert_eq!(postponed.first().await.fact, disk(1));
        assert!(postponed.add(&disk(7)), "there is room again");
        assert_eq!(postponed.take_all().len(), MAX_POSTPONED);
    }

    #[tokio::test]
    async fn one_that_comes_later_is_waited_for() {
        let postponed = Postponed::default();
        let (first, ()) = tokio::join!(postponed.first(), async {
            tokio::task::yield_now().await;
            assert!(postponed.add(&disk(7)));
        });
        assert_eq!(first.fact, disk(7));
    }

    #[test]
    fn one_waits_for_an_hour_at_most() {
        assert!(!Waiting { fact: disk(1), since: Instant::now() }.is_old());
        // A machine that has just started has no time that long ago.
        let since = Instant::now().checked_sub(POSTPONED_TTL + Duration::from_secs(1));
        assert!(since.is_none_or(|since| Waiting { fact: disk(1), since }.is_old()));
    }
}
