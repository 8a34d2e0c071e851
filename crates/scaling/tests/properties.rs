//! What always holds of a decision, whatever was seen.

use std::time::Duration;

use proptest::prelude::*;
use skep_scaling::{Decision, Observation, Policy, Reason, State, decide};

fn seconds() -> impl Strategy<Value = Vec<Observation>> {
    prop::collection::vec(observation(), 1..150)
}

prop_compose! {
    fn observation()(
        (arrived, busy, done, failed) in (0u32..200, 0u64..400_000, 0u32..200, 0u32..50),
        (in_flight, longest, held, waiting) in (0u32..200, 0u64..70_000, 0u32..100, 0u32..10_000),
        (age, due, ready, starting) in (0u64..300_000, 0u32..50, 0u32..30, 0u32..10),
        complete in prop::bool::weighted(0.9),
        cpu in prop::option::of(0.0..1500.0),
    ) -> Observation {
        Observation {
            arrived: arrived.into(),
            busy: Duration::from_millis(busy),
            done: done.into(),
            failed: failed.min(done).into(),
            in_flight: in_flight.into(),
            longest: Duration::from_millis(longest),
            held: held.into(),
            waiting: waiting.into(),
            age: Duration::from_millis(age),
            due: due.into(),
            ready,
            starting,
            complete,
            cpu,
            room: None,
        }
    }
}

fn policy() -> impl Strategy<Value = Policy> {
    (1u32..5, 1u32..60, 1u32..20, prop::option::of(1.0..16.0)).prop_map(|(min, more, slots, cores)| Policy {
        min,
        max: min + more,
        slots,
        cores,
        ..Policy::default()
    })
}

/// Decides once a second.
fn decide_all(state: &mut State, seen: &[Observation], policy: &Policy) -> Vec<Decision> {
    let now = (0..).map(Duration::from_secs);
    seen.iter().zip(now).map(|(seen, now)| decide(state, seen, policy, now)).collect()
}

/// One second of a load that does not change.
fn steady(arrived: f64, lasts: f64, replicas: u32) -> Observation {
    Observation {
        arrived,
        done: arrived,
        busy: Duration::from_secs_f64(arrived * lasts),
        in_flight: arrived * lasts,
        longest: Duration::from_secs_f64(lasts),
        ready: replicas,
        complete: true,
        ..Observation::default()
    }
}

proptest! {
    #[test]
    fn a_decision_is_within_the_limits(seen in seconds(), policy in policy()) {
        for decision in decide_all(&mut State::new(), &seen, &policy) {
            prop_assert!(decision.want <= policy.max);
            prop_assert!(decision.want >= policy.min || decision.reason == Reason::Asleep);
            prop_assert!(!decision.reason.to_string().is_empty());
        }
    }

    #[test]
    fn nothing_is_scaled_down_while_something_does_not_report(
        seen in seconds(), last in observation(), policy in policy(),
    ) {
        // What there is no room for does not count as scaled down.
        let policy = Policy { cores: None, ..policy };
        let mut state = State::new();
        let before = decide_all(&mut state, &seen, &policy).pop().unwrap();
        let last = Observation { complete: false, ready: last.ready.max(1), ..last };
        let now = Duration::from_secs(seen.len() as u64);
        prop_assert!(decide(&mut state, &last, &policy, now).want >= before.want);
    }

    #[test]
    fn more_waiting_calls_never_need_fewer_replicas(
        seen in seconds(), policy in policy(), more in 1.0..1000.0, older in 0u64..100_000,
    ) {
        let (last, before) = seen.split_last().unwrap();
        let mut state = State::new();
        decide_all(&mut state, before, &policy);
        let now = Duration::from_secs(before.len() as u64);
        let age = last.age + Duration::from_millis(older);
        let heavier = Observation { waiting: last.waiting + more, age, ..last.clone() };
        let some = decide(&mut state.clone(), last, &policy, now);
        let many = decide(&mut state, &heavier, &policy, now);
        prop_assert!(many.need >= some.need && many.want >= some.want, "{some:?} {many:?}");
    }

    #[test]
    fn more_arrivals_never_need_fewer_replicas(seen in seconds(), policy in policy(), more in 1.0..1000.0) {
        let (last, before) = seen.split_last().unwrap();
        let mut state = State::new();
        decide_all(&mut state, before, &policy);
        let now = Duration::from_secs(before.len() as u64);
        let heavier = Observation { arrived: last.arrived + more, ..last.clone() };
        let some = decide(&mut state.clone(), last, &policy, now);
        let many = decide(&mut state, &heavier, &policy, now);
        prop_assert!(many.need >= some.need && many.want >= some.want, "{some:?} {many:?}");
    }

    #[test]
    fn without_calls_nothing_is_needed_and_the_minimum_is_kept(seen in seconds(), policy in policy()) {
        let mut state = State::new();
        decide_all(&mut state, &seen, &policy);
        let idle = Observation { ready: 3, complete: true, ..Observation::default() };
        let begin = seen.len() as u64;
        let decide = |second| decide(&mut state, &idle, &policy, Duration::from_secs(second));
        let last = (begin..begin + 600).map(decide).last().unwrap();
        prop_assert_eq!((last.need, last.want), (0, policy.min));
    }
}

proptest! {
    // Each case is an hour.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_constant_load_is_not_scaled_up_and_down(arrived in 0.1..200.0, lasts in 0.001..30.0, slots in 1u32..20) {
        let policy = Policy { slots, max: 10_000, ..Policy::default() };
        let mut state = State::new();
        let mut replicas = 1;
        let mut changes = Vec::new();
        for second in 0..3600 {
            let want = decide(&mut state, &steady(arrived, lasts, replicas), &policy, Duration::from_secs(second)).want;
            if want != replicas {
                changes.push(second);
            }
            replicas = want;
        }
        prop_assert!(changes.iter().all(|second| *second <= 180), "changed at {changes:?}");
        let slots = f64::from(slots);
        prop_assert!((f64::from(replicas) + 0.05) * slots >= arrived * lasts, "{replicas} replicas");
    }
}
