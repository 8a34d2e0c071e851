//! Calls of schedules that came due too late to run: those of a while are reported together.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use skep_protocol::{Occurrence, SourceName};
use skep_sources::Fact;
use time::OffsetDateTime;
use tokio::{sync::Notify, time::sleep};
use tracing::debug;

use crate::Worker;

/// After an outage many calls come due at once; what comes within this time is one event.
const GATHERING_TIME: Duration = Duration::from_secs(5);
/// Occurrences of one schedule that are counted.
const MAX_COUNTED: usize = 1000;

/// The occurrences of a schedule that came too late, and whether each runs all the same.
type Times = BTreeMap<OffsetDateTime, bool>;

/// Occurrences that came too late, and that are not reported yet.
#[derive(Default)]
pub(crate) struct MissedCalls {
    gathered: Mutex<HashMap<SourceName, Times>>,
    added: Notify,
}

impl MissedCalls {
    /// An occurrence counts once, however many routes it has.
    pub(crate) fn note(&self, occurrence: &Occurrence, runs: bool) {
        self.add(&occurrence.source, [(occurrence.planned_at, runs)]);
        self.added.notify_one();
    }

    fn add(&self, source: &SourceName, times: impl IntoIterator<Item = (OffsetDateTime, bool)>) {
        let mut gathered = self.gathered();
        let known = gathered.entry(source.clone()).or_default();
        for (time, runs) in times {
            *known.entry(time).or_default() |= runs;
        }
        while known.len() > MAX_COUNTED {
            known.pop_last();
        }
    }

    fn take(&self) -> HashMap<SourceName, Times> {
        std::mem::take(&mut *self.gathered())
    }

    fn gathered(&self) -> MutexGuard<'_, HashMap<SourceName, Times>> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is reported of them; nothing if all run.
fn fact(source: &SourceName, times: &Times) -> Option<Fact> {
    let (source, count) = (source.clone(), times.len() as u64);
    let run = times.values().filter(|runs| **runs).count() as u64;
    let ((first, _), (last, _)) = (times.first_key_value()?, times.last_key_value()?);
    (run < count).then_some(Fact::ScheduleMissed { source, count, first: *first, last: *last, run })
}

/// Reports what was missed until the last call has ended.
pub(crate) async fn run(worker: Arc<Worker>) {
    let tell_again_and_again = async {
        loop {
            worker.missed.added.notified().await;
            sleep(GATHERING_TIME).await;
            worker.tell_missed().await;
        }
    };
    worker.gone.run_until_cancelled(tell_again_and_again).await;
    worker.tell_missed().await;
}

impl Worker {
    async fn tell_missed(&self) {
        for (source, times) in self.missed.take() {
            let Some(fact) = fact(&source, &times) else { continue };
            if let Err(error) = Box::pin(self.own_events.publish(&fact)).await {
                debug!(error = error.chain(), %source, "what a schedule has missed cannot be reported; trying again");
                self.missed.add(&source, times);
                self.missed.added.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use skep_protocol::Overlap;

    use super::*;

    fn note(missed: &MissedCalls, source: &str, route: &str, second: i64, runs: bool) {
        let occurrence = Occurrence {
            source: source.parse().unwrap(),
            route: route.parse().unwrap(),
            planned_at: at(second),
            overlap: Overlap::Skip,
            after: None,
            lateness: None,
        };
        missed.note(&occurrence, runs);
    }

    fn at(second: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(second).unwrap()
    }

    #[test]
    fn each_occurrence_of_a_schedule_counts_once() {
        let missed = MissedCalls::default();
        for (source, route, second, runs) in
            [("a", "one", 20, true), ("a", "two", 20, false), ("a", "one", 10, false), ("b", "one", 5, true)]
        {
            note(&missed, source, route, second, runs);
        }
        let taken = missed.take();
        let of = |source: &str| taken.get(&source.parse().unwrap()).unwrap();
        let source = "a".parse().unwrap();
        let expected = Fact::ScheduleMissed { source, count: 2, first: at(10), last: at(20), run: 1 };
        assert_eq!(fact(&"a".parse().unwrap(), of("a")), Some(expected));
        assert_eq!(fact(&"b".parse().unwrap(), of("b")), None, "all run");
        assert_eq!((of("b").len(), missed.take().len()), (1, 0));
    }

    #[test]
    fn what_is_gathered_is_bounded() {
        let missed = MissedCalls::default();
        for second in 0..2 * MAX_COUNTED as i64 {
            note(&missed, "a", "one", second, false);
        }
        assert_eq!(missed.take().values().map(BTreeMap::len).sum::<usize>(), MAX_COUNTED);
    }
}
