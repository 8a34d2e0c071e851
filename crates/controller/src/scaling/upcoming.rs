//! Calls that come due soon: delayed ones, further attempts, and those of schedules. Replicas for them are started before.
//!
//! Each is read once, in the second in which it is stored.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use skep_bus::{QueueDepth, UpcomingCall};
use skep_protocol::FunctionName;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};
use tracing::debug;

/// Calls that are remembered, the earliest ones: about 15 MB of them.
const MAX_REMEMBERED: usize = 100_000;
/// How long before a call comes due its function is looked at, until it is known how long a replica takes to start.
const FIRST_HORIZON: Duration = Duration::from_secs(4);
/// How often all are read again: a server that has lost some does not say so.
const READ_INTERVAL: Duration = Duration::from_secs(3600);
/// All are read again this long before one comes due that was not remembered.
const READ_AHEAD: Duration = Duration::from_secs(300);
/// How often it is asked for those that were stored.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// The calls that are known to come due.
#[derive(Default)]
pub(crate) struct Upcoming {
    agenda: Mutex<Agenda>,
    horizons: Mutex<HashMap<FunctionName, Duration>>,
}

#[derive(Default)]
struct Agenda {
    by_time: BTreeMap<(OffsetDateTime, u64), FunctionName>,
    /// When the call or the burst comes due that has this hash.
    times: HashMap<u64, OffsetDateTime>,
    /// The earliest one that is not remembered.
    left_out: Option<OffsetDateTime>,
    hasher: RandomState,
}

impl Agenda {
    fn add(&mut self, call: UpcomingCall, most: usize) {
        let hash = self.hasher.hash_one((&call.function, &call.key));
        if let Some(former) = self.times.insert(hash, call.due_at) {
            self.by_time.remove(&(former, hash));
        }
        self.by_time.insert((call.due_at, hash), call.function);
        if self.by_time.len() > most
            && let Some(((at, hash), _)) = self.by_time.pop_last()
        {
            self.times.remove(&hash);
            self.left_out = Some(self.left_out.map_or(at, |earliest| earliest.min(at)));
        }
    }

    fn drop_before(&mut self, now: OffsetDateTime) {
        while let Some(first) = self.by_time.first_entry().filter(|first| first.key().0 <= now) {
            let (at, hash) = *first.key();
            first.remove();
            if self.times.get(&hash) == Some(&at) {
                self.times.remove(&hash);
            }
        }
    }

    fn until(&self, end: OffsetDateTime) -> impl Iterator<Item = (OffsetDateTime, &FunctionName)> {
        self.by_time.range(..(end, u64::MAX)).map(|((at, _), function)| (*at, function))
    }
}

impl Upcoming {
    /// Follows what is stored until it is dropped.
    pub(crate) async fn follow(&self, bus: &QueueDepth) {
        loop {
            *self.agenda() = Agenda::default();
            if let Err(error) = self.read(bus).await {
                debug!(error = error.chain(), "calls that come due cannot be followed; trying again");
                sleep(RETRY_INTERVAL).await;
            }
        }
    }

    /// Reads until all should be read again.
    async fn read(&self, bus: &QueueDepth) -> skep_bus::Result<()> {
        let began = Instant::now();
        let mut read_to = 0;
        while began.elapsed() < READ_INTERVAL && !self.is_left_out(skep_bus::now() + READ_AHEAD) {
            match bus.upcoming(read_to).await? {
                Some((calls, last)) => {
                    calls.into_iter().for_each(|call| self.add(call, MAX_REMEMBERED));
                    read_to = last;
                }
                None => sleep(LOOK_INTERVAL).await,
            }
        }
        Ok(())
    }

    fn add(&self, call: UpcomingCall, most: usize) {
        // One that is due already is on its way.
        let now = skep_bus::now();
        if call.due_at > now {
            self.agenda().add(call, most);
        }
    }

    /// Whether one that is not remembered comes due until then, although others could be remembered by now.
    fn is_left_out(&self, until: OffsetDateTime) -> bool {
        let agenda = self.agenda();
        agenda.by_time.len() < MAX_REMEMBERED / 2 && agenda.left_out.is_some_and(|at| at <= until)
    }

    /// How long before a call comes due its function is to be looked at.
    pub(crate) fn look_ahead(&self, function: &FunctionName, horizon: Duration) {
        let mut horizons = self.horizons.lock().unwrap_or_else(PoisonError::into_inner);
        if horizon == FIRST_HORIZON {
            horizons.remove(function);
        } else if horizons.get(function) != Some(&horizon) {
            horizons.insert(function.clone(), horizon);
        }
    }

    pub(crate) fn forget(&self, function: &FunctionName) {
        self.look_ahead(function, FIRST_HORIZON);
    }

    /// How many calls of each function come due before a replica that is started now is ready.
    pub(crate) fn soon(&self, now: OffsetDateTime) -> HashMap<FunctionName, u64> {
        let mut agenda = self.agenda();
        agenda.drop_before(now);
        let horizons = self.horizons.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = horizons.values().copied().max().unwrap_or(FIRST_HORIZON).max(FIRST_HORIZON);
        let mut soon = HashMap::<FunctionName, u64>::new();
        for (at, function) in agenda.until(now + longest) {
            if at > now + horizons.get(function).copied().unwrap_or(FIRST_HORIZON) {
                continue;
            }
            match soon.get_mut(function) {
                Some(count) => *count += 1,
                None => _ = soon.insert(function.clone(), 1),
            }
        }
        soon
    }

    /// Whether a call of this function comes due within a time.
    pub(crate) fn is_within(&self, function: &FunctionName, now: OffsetDateTime, within: Duration) -> bool {
        self.agenda().until(now + within).any(|(at, other)| at > now && other == function)
    }

    fn agenda(&self) -> MutexGuard<'_, Agenda> {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(function: &str, key: &str, due_at: OffsetDateTime) -> UpcomingCall {
        UpcomingCall { function: function.parse().unwrap(), due_at, key: key.to_owned() }
    }

    fn count(upcoming: &Upcoming, function: &str, now: OffsetDateTime) -> u64 {
        upcoming.soon(now).get(&function.parse().unwrap()).copied().unwrap_or(0)
    }

    #[test]
    fn calls_count_within_the_start_of_a_replica_until_they_are_due() {
        let (upcoming, now) = (Upcoming::default(), skep_bus::now());
        for (key, seconds) in [("a", 2), ("b", 4), ("c", 20)] {
            upcoming.add(call("cat", key, now + Duration::from_secs(seconds)), 10);
        }
        upcoming.add(call("dog", "d", now + Duration::from_secs(9)), 10);
        assert_eq!((count(&upcoming, "cat", now), count(&upcoming, "dog", now)), (2, 0));
        let dog = "dog".parse().unwrap();
        upcoming.look_ahead(&dog, Duration::from_secs(11));
        assert_eq!((count(&upcoming, "cat", now), count(&upcoming, "dog", now)), (2, 1));
        assert!(upcoming.is_within(&dog, now, Duration::from_secs(9)));
        assert!(!upcoming.is_within(&dog, now, Duration::from_secs(8)));
        upcoming.forget(&dog);
        assert_eq!(count(&upcoming, "dog", now), 0);
        assert_eq!(count(&upcoming, "cat", now + Duration::from_secs(2)), 1);
        assert_eq!(count(&upcoming, "cat", now + Duration::from_secs(4)), 0);
        assert_eq!(count(&upcoming, "cat", now + Duration::from_secs(18)), 1);
    }

    #[test]
    fn a_call_that_is_stored_again_counts_once_and_so_does_a_burst() {
        let (upcoming, now) = (Upcoming::default(), skep_bus::now());
        for milliseconds in [500, 2500, 1500] {
            upcoming.add(call("cat", "burst", now + Duration::from_millis(milliseconds)), 10);
        }
        assert_eq!(count(&upcoming, "cat", now), 1);
        assert_eq!(count(&upcoming, "cat", now + Duration::from_secs(1)), 1, "the last one counts");
        assert_eq!(count(&upcoming, "cat", now + Duration::from_secs(2)), 0);
        assert!(upcoming.agenda().times.is_empty());
    }

    #[test]
    fn the_earliest_are_remembered_and_the_others_are_read_again_in_time() {
        let (upcoming, now) = (Upcoming::default(), skep_bus::now());
        for number in (1..=5).rev() {
            upcoming.add(call("cat", &number.to_string(), now + Duration::from_secs(number)), 2);
        }
        assert_eq!(upcoming.agenda().by_time.len(), 2);
        assert_eq!(count(&upcoming, "cat", now), 2);
        assert!(!upcoming.is_left_out(now + Duration::from_secs(2)));
        assert!(upcoming.is_left_out(now + Duration::from_secs(3)));
    }
}
