//! What counts of the past: down windows, small changes, and how long calls take.

use std::time::Duration;

use skep_scaling::{Kind, Observation, Policy, Reason};

use crate::function::{Function, SECOND, calls, idle, one_slot};

#[test]
fn what_cannot_be_seen_is_not_scaled_down_until_the_window_is_over() {
    let mut function = Function::new(one_slot());
    function.see(&idle(7));
    let blind = Observation { complete: false, ..idle(7) };
    let decision = function.see_for(60, &blind);
    assert_eq!((decision.want, decision.need), (7, 0));
    assert_eq!(function.see_for(20, &idle(7)).want, 7);
    assert_eq!(function.see_for(10, &idle(7)).want, 1);
}

#[test]
fn a_down_window_keeps_the_highest_number_of_it() {
    let window = Some(SECOND * 120);
    let policy = Policy { kind: Kind::Queue, target: 10.0, proportion: 1.0, down_window: window, ..one_slot() };
    let mut function = Function::new(policy.clone());
    assert_eq!(function.see(&Observation { waiting: 100.0, ..idle(1) }).want, 10);
    assert_eq!(function.see_for(119, &idle(10)).want, 10);
    assert_eq!(function.see_for(2, &idle(10)).want, 1);
    let mut without = Function::new(Policy { down_window: None, ..policy });
    without.see(&Observation { waiting: 100.0, ..idle(1) });
    assert_eq!(without.see(&idle(10)).want, 1);
}

#[test]
fn a_function_that_starts_slowly_is_scaled_down_later() {
    let mut function = Function::new(Policy { start: SECOND * 60, ..one_slot() });
    function.see(&idle(7));
    assert_eq!(function.see_for(119, &idle(7)).want, 7);
    assert_eq!(function.see_for(2, &idle(7)).want, 1);
}

#[test]
fn the_second_in_which_a_window_ends_and_something_does_not_report_takes_nothing_away() {
    let mut function = Function::new(one_slot());
    function.see(&idle(7));
    assert_eq!(function.see_for(25, &idle(7)).want, 7);
    let decision = function.see(&Observation { complete: false, ..idle(7) });
    assert_eq!((decision.want, decision.reason), (7, Reason::Incomplete { need: 0 }));
}

#[test]
fn a_large_function_ignores_small_changes_unless_calls_are_late() {
    // Each call takes ten minutes and needs a replica.
    let see = |replicas, in_flight, waiting, age| {
        let mut function = Function::new(one_slot());
        function.see(&idle(replicas));
        function.see(&Observation { in_flight, longest: SECOND * 600, waiting, age, ..idle(replicas) })
    };
    let decision = see(30, 30.0, 1.0, SECOND / 5);
    assert_eq!((decision.want, decision.reason), (30, Reason::Deadband { need: decision.need }));
    assert!(see(30, 30.0, 1.0, SECOND).want > 30);
    assert!(see(30, 33.0, 1.0, SECOND / 5).want > 33);
    assert_eq!(see(15, 15.0, 0.0, Duration::ZERO).want, 16);
}

#[test]
fn calls_take_no_longer_than_the_longest_that_was_seen() {
    let mut function = Function::new(one_slot());
    let begun = Observation { in_flight: 9.0, longest: SECOND * 12, ..calls(0.0, 9) };
    function.see_for(10, &Observation { busy: SECOND * 9, ..begun.clone() });
    let decision = function.see(&Observation { done: 1.0, busy: SECOND * 9, ..begun });
    assert_eq!(decision.occupancy, SECOND * 12);
}

#[test]
fn the_longest_call_is_remembered_for_five_minutes() {
    let mut function = Function::new(one_slot());
    function.see(&Observation { longest: SECOND * 60, ..idle(1) });
    assert_eq!(function.see_for(300, &Observation { longest: SECOND, ..idle(1) }).occupancy, SECOND * 60);
    assert_eq!(function.see(&idle(1)).occupancy, SECOND);
}

#[test]
fn the_occupancy_is_a_mean_of_five_seconds_at_least_and_of_two_minutes_at_most() {
    let take = |per_second, time: Duration| Observation {
        busy: time.mul_f64(per_second),
        longest: time,
        ..calls(per_second, 9)
    };
    let mut many = Function::new(one_slot());
    many.see_for(4, &take(100.0, Duration::from_millis(10)));
    let decision = many.see(&take(100.0, Duration::from_millis(110)));
    assert_eq!(decision.occupancy, Duration::from_millis(30));
    let mut few = Function::new(one_slot());
    few.see_for(10, &take(1.0, SECOND * 10));
    few.see_for(118, &idle(1));
    let decision = few.see_for(2, &take(1.0, SECOND));
    assert_eq!(decision.occupancy, SECOND);
}

#[test]
fn replicas_that_start_slowly_are_started_for_what_comes_in_until_then() {
    // Each takes a minute, and none has ended.
    let comes = Observation { in_flight: 2.0, longest: SECOND * 60, busy: SECOND, done: 0.0, ..calls(2.0, 2) };
    let need = |start| Function::new(Policy { start, ..one_slot() }).see(&comes).need;
    assert!(need(SECOND * 20) >= need(Duration::ZERO) + 20, "{} {}", need(SECOND * 20), need(Duration::ZERO));
}

#[test]
fn calls_that_replicas_run_which_were_taken_away_do_not_count_as_crowded() {
    let fifth = |per_second: f64, in_flight| Observation {
        busy: SECOND.mul_f64(per_second / 5.0),
        longest: SECOND / 5,
        in_flight,
        ..calls(per_second, 1)
    };
    let of = || {
        let mut function = Function::new(Policy { slots: 4, ..Policy::default() });
        function.see(&Observation { ready: 2, ..fifth(2.0, 0.0) });
        assert_eq!(function.see_for(26, &fifth(2.0, 0.0)).want, 1);
        function
    };
    assert_eq!(of().see(&fifth(2.0, 12.0)).want, 1);
    let mut later = of();
    later.see_for(30, &fifth(2.0, 0.0));
    assert!(later.see(&fifth(2.0, 12.0)).want > 1);
}

#[test]
fn long_calls_that_run_need_their_slots_beside_what_is_due_and_short_ones_need_no_slot_each() {
    let mut long = Function::new(one_slot());
    let runs = Observation { in_flight: 4.0, longest: SECOND * 600, ..idle(4) };
    long.see_for(30, &runs);
    assert!(long.see(&Observation { due: 20.0, ..runs }).want >= 24);
    let mut short = Function::new(one_slot());
    let tenth = Observation { busy: SECOND / 10, longest: SECOND / 10, in_flight: 0.0, ..calls(1.0, 1) };
    short.see_for(30, &tenth);
    let late = short.see(&Observation { waiting: 100.0, age: SECOND * 5, ..tenth });
    assert!((40..50).contains(&late.want), "{late:?}");
}
