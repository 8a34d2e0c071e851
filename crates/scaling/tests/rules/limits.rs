//! What a function may have, and what there is room for.

use std::time::Duration;

use skep_scaling::{Observation, Policy, Reason, Room};

use crate::function::{Function, SECOND, calls, idle, one_slot};

#[test]
fn more_than_there_is_room_for_is_not_wanted() {
    let mut function = Function::new(one_slot());
    let mut crowd = Observation { waiting: 9.0, age: SECOND, ..calls(9.0, 1) };
    crowd.room = Some(Room { replicas: Some(6), why: "insufficient memory on 3 nodes".to_owned() });
    let decision = function.see(&crowd);
    assert_eq!(decision.want, 6);
    assert!(decision.reason.to_string().ends_with("are needed: insufficient memory on 3 nodes"), "{}", decision.reason);
    // Machines may be added, so more is wanted than fits.
    crowd.room = Some(Room { replicas: None, why: "machines are added".to_owned() });
    assert!(function.see(&crowd).want > 6);
}

#[test]
fn what_there_is_no_room_for_is_said_also_when_no_more_is_wanted() {
    let why = "4 pending: insufficient resources on 3 nodes";
    let of = |ready| {
        let room = Some(Room { replicas: Some(8), why: why.to_owned() });
        Observation { waiting: 9.0, age: SECOND, starting: 8 - ready, room, ..calls(9.0, ready) }
    };
    let mut function = Function::new(Policy { max: 8, ..one_slot() });
    function.see(&calls(1.0, 8));
    let decision = function.see(&of(4));
    assert_eq!((decision.want, decision.reason), (8, Reason::Room { need: decision.need, why: why.to_owned() }));
    // All that are wanted have their place.
    assert_eq!(function.see(&of(8)).reason, Reason::Maximum { need: decision.need, max: 8 });
    // Those that have none are not needed.
    let calm = Observation { waiting: 0.0, age: Duration::ZERO, ..of(4) };
    let mut calm_function = Function::new(one_slot());
    calm_function.see(&calls(1.0, 8));
    let decision = calm_function.see(&Observation { in_flight: 1.0, arrived: 1.0, busy: SECOND, done: 1.0, ..calm });
    assert!(matches!(decision.reason, Reason::Window { .. }), "{decision:?}");
    // The minimum is needed.
    let mut fixed = Function::new(Policy { min: 8, max: 9, ..one_slot() });
    let decision = fixed.see(&Observation { ready: 4, starting: 4, room: of(4).room, ..idle(4) });
    assert_eq!(decision.reason, Reason::Room { need: 8, why: why.to_owned() });
}

#[test]
fn calls_that_compute_are_limited_by_cores_and_calls_that_sleep_are_not() {
    let of = |cores| Function::new(Policy { cores: Some(cores), ..one_slot() });
    let few = |cpu| Observation { cpu: Some(cpu), ..calls(1.0, 1) };
    let crowd = |cpu| Observation { waiting: 40.0, age: SECOND * 2, ..few(cpu) };
    let mut computes = of(2.0);
    computes.see_for(5, &few(1000.0));
    let decision = computes.see(&crowd(1000.0));
    assert!(matches!(decision.reason, Reason::Cores { .. }), "{decision:?}");
    assert_eq!(decision.want, 3);
    let mut sleeps = of(2.0);
    sleeps.see_for(5, &few(5.0));
    assert!(sleeps.see(&crowd(5.0)).want > 30);
    let mut unknown = of(2.0);
    assert_eq!(unknown.see(&Observation { cpu: None, ..crowd(0.0) }).want, 16);
}

#[test]
fn a_fixed_number_stays() {
    let mut function = Function::new(Policy { min: 4, max: 4, ..one_slot() });
    assert_eq!(function.see(&calls(50.0, 4)).reason, Reason::Static);
}

#[test]
fn what_the_last_seconds_needed_is_limited_by_the_room_too() {
    let mut function = Function::new(one_slot());
    function.see(&calls(9.0, 9));
    function.see_for(15, &calls(1.0, 9));
    let room = Some(Room { replicas: Some(6), why: "no memory".to_owned() });
    let decision = function.see(&Observation { room, ..calls(1.0, 6) });
    assert_eq!((decision.want, decision.reason), (6, Reason::Window { need: decision.need }));
}

#[test]
fn cores_that_are_used_up_by_unknown_calls_limit_a_function_to_what_it_has() {
    let mut function = Function::new(Policy { cores: Some(2.0), ..one_slot() });
    let busy = Observation { cpu: Some(1000.0), waiting: 40.0, age: SECOND, ..calls(2.0, 2) };
    let decision = function.see_for(5, &busy);
    assert!(matches!(decision.reason, Reason::Cores { .. }), "{decision:?}");
    assert_eq!(decision.want, 2);
}

#[test]
fn calls_that_compute_less_than_before_get_more_replicas() {
    let mut function = Function::new(Policy { cores: Some(2.0), ..one_slot() });
    let seen = |cpu| Observation { cpu: Some(cpu), ..calls(1.0, 1) };
    function.see_for(5, &seen(1000.0));
    function.see_for(30, &seen(5.0));
    assert!(function.see(&Observation { waiting: 40.0, age: SECOND, ..seen(5.0) }).want > 30);
}

#[test]
fn cores_do_not_limit_the_minimum() {
    let mut function = Function::new(Policy { cores: Some(1.0), min: 12, ..one_slot() });
    function.see(&idle(12));
    assert!(matches!(function.see_for(60, &idle(12)).reason, Reason::Minimum { .. }));
}

#[test]
fn an_alert_raises_no_further_than_the_maximum() {
    let mut function = Function::new(one_slot());
    function.state.raise(500, function.now + SECOND * 10);
    assert_eq!(function.see(&idle(1)).want, 100);
}
