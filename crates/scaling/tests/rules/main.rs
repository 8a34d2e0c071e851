//! The rules one by one.

mod function;
mod limits;
mod past;

use std::time::Duration;

use skep_scaling::{Kind, Observation, Policy, Reason, Record, Room};

use function::{Function, SECOND, calls, idle, one_slot};

#[test]
fn a_new_controller_begins_with_what_runs() {
    let mut function = Function::new(one_slot());
    assert_eq!(function.see(&idle(7)).want, 7);
    // Until the down window is over.
    assert_eq!(function.see_for(20, &idle(7)).want, 7);
    assert_eq!(function.see_for(10, &idle(7)).want, 1);
}

#[test]
fn the_second_after_a_step_has_more_replicas() {
    let mut function = Function::new(one_slot());
    function.see_for(60, &calls(1.0, 2));
    let step = Observation { waiting: 30.0, age: Duration::from_millis(600), in_flight: 2.0, ..calls(30.0, 2) };
    let decision = function.see(&step);
    assert!(decision.want > 30, "{decision:?}");
    assert_eq!(decision.reason.to_string(), "30 calls wait, the oldest for 0.6s");
}

#[test]
fn calls_beyond_the_slots_count_as_if_they_waited() {
    let mut function = Function::new(Policy { slots: 4, ..Policy::default() });
    let quick = |per_second: f64, in_flight| Observation {
        busy: SECOND.mul_f64(per_second / 5.0),
        longest: SECOND / 5,
        in_flight,
        ..calls(per_second, 1)
    };
    function.see_for(60, &quick(2.0, 0.0));
    let decision = function.see(&quick(40.0, 12.0));
    assert!(decision.want >= 2, "{decision:?}");
    assert_eq!(decision.reason.to_string(), "12 calls run at once, and there are 4 slots");
    // A few that are soon over are none.
    let mut calm = Function::new(Policy { slots: 4, ..Policy::default() });
    calm.see_for(60, &quick(2.0, 0.0));
    assert_eq!(calm.see(&quick(2.0, 5.0)).want, 1);
}

#[test]
fn a_waiting_call_needs_one_slot_at_most() {
    let mut function = Function::new(one_slot());
    let minute = Duration::from_secs(60);
    let long = Observation { busy: SECOND * 4, in_flight: 4.0, longest: minute, ..idle(4) };
    function.see_for(60, &long);
    let decision = function.see(&Observation { waiting: 3.0, age: minute, ..long });
    // Four run, three wait, and one is spare.
    assert_eq!(decision.need, 8, "{decision:?}");
}

#[test]
fn what_is_due_is_staffed_before_it_comes() {
    let mut function = Function::new(one_slot());
    function.see_for(30, &calls(1.0, 2));
    let decision = function.see(&Observation { due: 20.0, ..calls(1.0, 2) });
    assert!(decision.want >= 20, "{decision:?}");
    assert_eq!(decision.reason, Reason::Due { calls: 20.0 });
}

#[test]
fn a_sleeping_function_is_woken_with_what_its_work_needs() {
    let mut function = Function::new(Policy { slots: 4, ..Policy::default() });
    assert_eq!(function.see(&idle(0)).reason, Reason::Asleep);
    assert_eq!(function.see(&Observation { due: 1.0, ..idle(0) }).want, 1);
    // Nothing is known of its calls, so it begins with a few.
    assert_eq!(function.see(&Observation { held: 1000.0, ..idle(0) }).want, 5);
}

#[test]
fn quick_failures_are_no_reason_for_more_replicas() {
    let mut function = Function::new(one_slot());
    let before = function.see_for(60, &calls(4.0, 9)).want;
    let broken =
        Observation { failed: 90.0, done: 100.0, busy: SECOND * 10, waiting: 50.0, age: SECOND, ..calls(100.0, 9) };
    let decision = function.see_for(5, &broken);
    assert!(matches!(decision.reason, Reason::Failing { .. }), "{decision:?}");
    assert_eq!(decision.want, before);
    // Failures that take their time may come from too few replicas.
    let slow = Observation { failed: 9.0, done: 9.0, busy: SECOND * 9, arrived: 9.0, ..broken };
    assert!(function.see_for(90, &slow).want > before);
}

#[test]
fn a_person_is_obeyed_for_a_while_and_an_alert_raises() {
    let mut function = Function::new(one_slot());
    function.see_for(30, &idle(1));
    function.state.hold(3, function.now + SECOND * 10);
    let decision = function.see(&idle(1));
    assert_eq!((decision.want, decision.reason.to_string().as_str()), (3, "set by hand, for another 9s"));
    function.state.let_go();
    assert_eq!(function.see_for(40, &idle(3)).want, 1);
    function.state.raise(5, function.now + SECOND * 10);
    assert_eq!(function.see(&idle(1)).want, 5);
    assert_eq!(function.see_for(60, &idle(5)).want, 1);
}

#[test]
fn the_types_of_openfaas_pro_divide_by_a_share_of_the_target() {
    let seen = Observation { done: 90.0, busy: SECOND * 27, waiting: 91.0, cpu: Some(900.0), ..calls(9.0, 3) };
    let want = |kind, target| Function::new(Policy { kind, target, ..one_slot() }).see_for(20, &seen).want;
    assert_eq!(want(Kind::Rps, 50.0), 2);
    assert_eq!(want(Kind::Capacity, 10.0), 3);
    assert_eq!(want(Kind::Queue, 10.0), 11);
    assert_eq!(want(Kind::Cpu, 500.0), 6);
}

#[test]
fn alerts_alone_scale_the_type_alert() {
    let mut function = Function::new(Policy { kind: Kind::Alert, ..one_slot() });
    assert_eq!(function.see(&calls(50.0, 4)).want, 4);
}

#[test]
fn a_record_can_be_read_again() {
    let room = Some(Room { replicas: Some(2), why: "no memory".to_owned() });
    let seen = Observation { room, cpu: Some(12.5), age: Duration::from_millis(1500), ..calls(3.0, 2) };
    let record = Record { at: 12.5, function: "f".to_owned(), seen, policy: one_slot(), want: 2 };
    let line = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
    assert!(line.contains(r#""age":1.5"#), "{line}");
}
