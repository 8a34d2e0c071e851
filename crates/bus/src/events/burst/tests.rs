use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn at(millis: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(millis)
}

fn id(number: usize) -> CallId {
    format!("call-{number:04}").parse().unwrap()
}

fn rule(wait: u64, at_most: Option<u64>) -> EventDebounce {
    EventDebounce { key: "ab".to_owned(), wait_millis: wait, at_most_millis: at_most }
}

/// One key's bursts as workers change them, and which calls have run.
#[derive(Default)]
struct Key {
    bursts: Bursts,
    run: BTreeSet<usize>,
    replaced: BTreeSet<usize>,
}

impl Key {
    /// Returns when the call is due, if it waits.
    fn enter(&mut self, number: usize, received: i64, rule: &EventDebounce) -> Option<OffsetDateTime> {
        let entry = Entry { call_id: id(number), received_at: at(received) };
        match self.bursts.enter(&entry, rule) {
            Entered::Latest { bursts, due } => {
                self.bursts = bursts;
                assert_eq!(
                    self.bursts.enter(&entry, rule),
                    Entered::Known { due },
                    "an event that comes again waits as before"
                );
                Some(due)
            }
            Entered::Known { due } => Some(due),
            Entered::Replaced { .. } => {
                self.replaced.insert(number);
                None
            }
        }
    }

    fn due(&mut self, number: usize, due: OffsetDateTime) {
        match self.bursts.due(&id(number), due) {
            Due::Run => drop(self.run.insert(number)),
            Due::Replaced { .. } => drop(self.replaced.insert(number)),
            Due::Close { bursts } => {
                self.bursts = bursts;
                assert_eq!(self.bursts.due(&id(number), due), Due::Run, "what was decided stays");
                self.run.insert(number);
            }
        }
    }
}

/// The last event of each burst, by what the documentation says.
fn last_ones(received: &[i64], wait: i64, at_most: Option<i64>) -> BTreeSet<usize> {
    let (mut last, mut begins, mut due) = (BTreeSet::new(), 0, i64::MIN);
    for (number, &time) in received.iter().enumerate() {
        if time <= due {
            last.remove(&(number - 1));
        } else {
            begins = time;
        }
        due = at_most.map_or(time + wait, |at_most| (time + wait).min(begins + at_most));
        last.insert(number);
    }
    last
}

prop_compose! {
    fn any_times()(gaps in proptest::collection::vec(1..300_i64, 1..40)) -> Vec<i64> {
        gaps.iter().scan(0, |time, gap| { *time += gap; Some(*time) }).collect()
    }
}

proptest! {
    #[test]
    fn exactly_the_last_call_of_each_burst_runs_however_late_calls_come_due(
        received in any_times(),
        lateness in proptest::collection::vec(0..20_usize, 40),
        at_most in proptest::option::of(100..600_i64),
    ) {
        let rule = rule(100, at_most.map(i64::unsigned_abs));
        let mut key = Key::default();
        let mut waiting: Vec<(usize, usize, OffsetDateTime)> = Vec::new();
        for (number, &time) in received.iter().enumerate() {
            let (due_now, later) = waiting.into_iter().partition(|(after, ..)| *after <= number);
            waiting = later;
            for (_, number, due) in Vec::<(usize, usize, OffsetDateTime)>::from_iter(due_now) {
                key.due(number, due);
            }
            let due = key.enter(number, time, &rule).expect("it is the latest");
            // All events that came in time are routed before it comes due.
            let in_time = received.iter().take_while(|&&time| at(time) <= due).count();
            waiting.push((in_time + lateness[number], number, due));
        }
        waiting.into_iter().for_each(|(_, number, due)| key.due(number, due));
        prop_assert_eq!(&key.run, &last_ones(&received, 100, at_most));
        prop_assert!(key.run.is_disjoint(&key.replaced) && key.run.len() + key.replaced.len() == received.len());
    }

    #[test]
    fn the_latest_event_runs_and_no_event_is_forgotten_in_whatever_order_they_are_routed(
        (received, order) in any_times().prop_flat_map(|times| {
            let order = Just((0..times.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(times), order)
        }),
        lateness in proptest::collection::vec(0..5_usize, 40),
    ) {
        let mut key = Key::default();
        let mut waiting = Vec::new();
        for (step, &number) in order.iter().enumerate() {
            waiting.extend(key.enter(number, received[number], &rule(100, None)).map(|due| (step + lateness[step], number, due)));
            let (due_now, later) = waiting.into_iter().partition(|(after, ..)| *after <= step);
            waiting = later;
            for (_, number, due) in Vec::<(usize, usize, OffsetDateTime)>::from_iter(due_now) {
                key.due(number, due);
            }
        }
        waiting.into_iter().for_each(|(_, number, due)| key.due(number, due));
        prop_assert!(key.run.contains(&(received.len() - 1)));
        prop_assert!(key.run.is_disjoint(&key.replaced) && key.run.len() + key.replaced.len() == received.len());
    }
}

#[test]
fn an_event_that_comes_after_its_burst_was_closed_begins_another_one() {
    let (mut key, rule) = (Key::default(), rule(100, None));
    let due = key.enter(0, 0, &rule).unwrap();
    key.due(0, due);
    let later = key.enter(1, 50, &rule).unwrap();
    assert!(later > due);
    key.due(1, later);
    key.due(0, due);
    assert_eq!((key.run.len(), key.replaced.len()), (2, 0));
}

#[test]
fn the_longest_time_bounds_how_long_a_burst_goes_on() {
    let (mut key, rule) = (Key::default(), rule(100, Some(250)));
    let dues: Vec<_> = (0..6).map(|number| key.enter(number, i64::try_from(number).unwrap() * 60, &rule)).collect();
    assert_eq!(dues[..5], [100, 160, 220, 250, 250].map(|millis| Some(at(millis))));
    assert_eq!(dues[5], Some(at(400)), "the next burst has begun");
}

#[test]
fn what_is_kept_of_earlier_bursts_is_bounded() {
    let (mut key, rule) = (Key::default(), rule(10, None));
    for burst in 0..200_usize {
        let time = i64::try_from(burst).unwrap() * 1000;
        key.enter(2 * burst, time, &rule);
        key.enter(2 * burst + 1, time + 5, &rule);
    }
    assert_eq!(key.bursts.earlier.len(), MAX_EARLIER);
    let written = serde_json::to_vec(&key.bursts).unwrap();
    assert!(written.len() < 16 * 1024, "{}", written.len());
    assert_eq!(serde_json::from_slice::<Bursts>(&written).unwrap(), key.bursts);
}
