use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::*;
use crate::{
    Receiver, Run, Source, occurrence_id,
    testing::{receiver, try_receiver},
};

pub(super) fn at(text: &str) -> OffsetDateTime {
    OffsetDateTime::parse(text, &Rfc3339).unwrap()
}

pub(super) fn schedule(spec: &Value) -> Schedule {
    match Source::from_spec(spec).unwrap_or_else(|error| panic!("{spec}: {error}")).kind {
        crate::Kind::Schedule(schedule) => schedule,
        other => panic!("{other:?}"),
    }
}

fn refused(spec: &Value) -> String {
    Source::from_spec(spec).err().unwrap_or_else(|| panic!("{spec}")).to_string()
}

/// The times of a day in a zone, from a moment on, as the clock on the wall shows them.
fn times(cron: &str, zone: &str, from: &str, most: usize) -> Vec<String> {
    let schedule = schedule(&json!({ "cron": cron, "timezone": zone }));
    schedule.next_times(at(from) - Duration::from_secs(1), most)
}

#[test]
fn a_time_that_the_clock_leaves_out_runs_at_the_first_moment_after_the_gap() {
    let berlin = times("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00+01:00", 3);
    assert_eq!(berlin, ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]);
    let sao_paulo = times("0 0 * * *", "America/Sao_Paulo", "2018-11-03T00:00:00-03:00", 3);
    assert_eq!(sao_paulo, ["2018-11-03T00:00:00-03:00", "2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"]);
}

#[test]
fn a_time_that_comes_twice_runs_once() {
    let berlin = times("30 2 * * *", "Europe/Berlin", "2026-10-24T00:00:00+02:00", 3);
    assert_eq!(berlin, ["2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]);
}

#[test]
fn intervals_follow_real_time_through_both_changes() {
    let spring = times("*/30 * * * *", "Europe/Berlin", "2026-03-29T01:30:00+01:00", 3);
    assert_eq!(spring, ["2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"]);
    let autumn = times("*/30 * * * *", "Europe/Berlin", "2026-10-25T02:00:00+02:00", 5);
    let expected = ["02:00:00+02:00", "02:30:00+02:00", "02:00:00+01:00", "02:30:00+01:00", "03:00:00+01:00"];
    assert_eq!(autumn, expected.map(|time| format!("2026-10-25T{time}")));
}

#[test]
fn expressions_are_of_five_or_six_fields_with_names_and_last_days() {
    let next = |cron: &str| times(cron, "UTC", "2026-12-01T00:00:00Z", 1).remove(0);
    for (cron, expected) in [
        ("0 3 * * *", "2026-12-01T03:00:00Z"),
        ("30 0 3 * * *", "2026-12-01T03:00:30Z"),
        ("@hourly", "2026-12-01T00:00:00Z"),
        ("0 0 L * *", "2026-12-31T00:00:00Z"),
        ("0 0 * * FRI#2", "2026-12-11T00:00:00Z"),
        ("0 0 6W * *", "2026-12-07T00:00:00Z"),
        ("0 0 1 JAN *", "2027-01-01T00:00:00Z"),
        // Day of month and day of week: either matches.
        ("0 0 15 * WED", "2026-12-02T00:00:00Z"),
    ] {
        assert_eq!(next(cron), expected, "{cron}");
    }
    let list = schedule(&json!({ "cron": ["0 3 * * *", "0 1 * * *", "0 1 * * *"] }));
    let expected = ["2026-12-01T01:00:00Z", "2026-12-01T03:00:00Z", "2026-12-02T01:00:00Z"];
    assert_eq!(list.next_times(at("2026-12-01T00:00:00Z"), 3), expected, "those of all, each once");
}

#[test]
fn equal_distances_begin_at_the_epoch() {
    let every = schedule(&json!({ "every": "90m", "offset": "60s" }));
    let next = every.next_times(at("2026-11-29T10:00:00.5Z"), 2);
    assert_eq!(next, ["2026-11-29T10:31:00Z", "2026-11-29T12:01:00Z"]);
    assert_eq!(every.after(at("1969-12-31T23:59:59Z")), Some(at("1970-01-01T00:01:00Z")));
    let bounded = schedule(&json!({ "every": "1h", "from": "2026-12-01T00:00:00Z", "until": "2026-12-01T02:30:00Z" }));
    let expected = ["2026-12-01T00:00:00Z", "2026-12-01T01:00:00Z", "2026-12-01T02:00:00Z"];
    assert_eq!(bounded.next_times(at("2026-11-01T00:00:00Z"), 9), expected);
}

#[test]
fn what_cannot_be_a_schedule_is_refused_with_the_key_and_the_fix() {
    for (spec, expected) in [
        (json!({ "cron": "0 0 30 2 *" }), "cron: \"0 0 30 2 *\" never fires"),
        (json!({ "cron": "* * *" }), "cron: \"* * *\" is not a cron expression of five or six fields"),
        (json!({ "cron": "0 0 0 1 1 * 2030" }), "is not a cron expression"),
        (json!({ "cron": [] }), "cron: must be an expression such as"),
        (json!({ "cron": 5 }), "cron: must be an expression such as"),
        (json!({ "cron": "@daily", "timezone": "Europe/Berln" }), "did you mean Europe/Berlin?"),
        (json!({ "cron": "@daily", "timezone": "berlin city" }), "timezone: \"berlin city\" is not a time zone"),
        (json!({ "cron": "@daily", "timezone": "new york" }), "did you mean America/New_York?"),
        (json!({ "cron": "@daily", "every": "1h" }), "every: cannot be together with cron"),
        (json!({ "every": "500ms" }), "every: must be whole seconds"),
        (json!({ "every": "1h", "offset": "1h" }), "offset: must be whole seconds, and less than every"),
        (json!({ "cron": "@daily", "offset": "1h" }), "offset: needs every"),
        (json!({ "cron": "@daily", "overlap": "wait" }), "overlap: \"wait\" is not one of skip, queue, replace, allow"),
        (json!({ "cron": "@daily", "overlap": "in-turn" }), "overlap: "),
        (json!({ "cron": "@daily", "missed": "none" }), "missed: \"none\" is not one of latest, all, skip"),
        (json!({ "cron": "@daily", "missed_within": "400d" }), "missed_within: must be 366d or less"),
        (json!({ "cron": "@daily", "jitter": "25h" }), "jitter: must be whole seconds, and 24h or less"),
        (json!({ "cron": "@daily", "from": "tomorrow" }), "from: \"tomorrow\" is not a time such as"),
        (
            json!({ "cron": "@daily", "from": "2026-12-02T00:00:00Z", "until": "2026-12-01T00:00:00Z" }),
            "until: must not be before from",
        ),
        (json!({ "cron": "@daily", "path": "x" }), "path: must begin with /"),
        (json!({ "cron": "@daily", "type": "A B" }), "type: must be of lower-case letters"),
        (json!({ "cron": "@daily", "headers": { "X-Skep-Source": "x" } }), "headers.X-Skep-Source: is set by skep"),
    ] {
        let error = refused(&spec);
        assert!(error.contains(expected), "{spec}: {error}");
    }
    for (yaml, expected) in [
        ("{every: 1h, dedup: off}", "dedup: changes nothing"),
        ("{every: 1h, id: ['json:a']}", "id: changes nothing"),
        ("{every: 1h, routes: [{to: a, debounce: {wait: 1s}}]}", "routes[0].debounce: is not possible"),
        ("{every: 1h, routes: [{to: a, name: a.b}, {to: a, name: a_b}]}", "routes[1].name: differs from"),
    ] {
        let error = try_receiver(yaml).unwrap_err().to_string();
        assert!(error.contains(expected), "{yaml}: {error}");
    }
    let long = format!("{{every: 1h, routes: [{{to: a, name: {}}}]}}", "x".repeat(60));
    assert!(try_receiver(&long).is_ok());
}

#[test]
fn jitter_follows_from_schedule_and_time_alone() {
    let schedule = schedule(&json!({ "every": "1h", "jitter": "10m" }));
    let planned: Vec<_> = schedule.all_after(at("2026-01-01T00:00:00Z")).take(200).collect();
    let delays = |source: &str| {
        planned.iter().map(|at| (schedule.due_at(source, *at) - *at).whole_seconds()).collect::<Vec<_>>()
    };
    assert_eq!(delays("a"), delays("a"));
    assert_ne!(delays("a"), delays("b"));
    assert!(delays("a").iter().all(|delay| (0..=600).contains(delay)));
    assert!(delays("a").iter().any(|delay| *delay < 120) && delays("a").iter().any(|delay| *delay > 480));
}

fn nightly() -> Receiver {
    receiver(
        "{cron: 0 3 * * *, timezone: Europe/Berlin, jitter: 5m, body: {job: nightly}, type: night, path: /run, \
         headers: {X-Env: prod}, routes: [{to: backup}, {to: report, delay: 60s, name: the.report}]}",
    )
}

#[test]
fn an_occurrence_is_one_event_with_a_call_for_each_route() {
    let receiver = nightly();
    let schedule = receiver.schedule().unwrap();
    let planned = schedule.after(at("2026-11-29T12:00:00Z")).unwrap();
    let id = occurrence_id(planned).unwrap();
    assert_eq!(id.as_str(), "20261130T020000Z");
    let event = receiver.occurrence_event(schedule, id, (planned, None), None);
    let due = Due { at: planned, overlap: Overlap::Skip, missed: None };
    let calls = receiver.occurrence_calls(schedule, &event, &due, Run::Planned, at("2026-11-29T12:00:00Z"));
    let ids: Vec<_> = calls.iter().map(|call| call.call_id.as_str()).collect();
    assert_eq!(ids, ["cron-shop_backup-20261130T020000Z", "cron-shop_the_report-20261130T020000Z"]);
    let [backup, report] = &calls[..] else { panic!() };
    let header = |name: &str| backup.headers.get(name).map(|value| value.to_str().unwrap());
    for (name, expected) in [
        ("x-skep-planned-at", "2026-11-30T03:00:00+01:00"),
        ("x-skep-source", "shop"),
        ("x-skep-event-type", "night"),
        ("x-topic", "cron-function"),
        ("x-connector", "cron-connector"),
        ("content-type", "application/json"),
        ("x-env", "prod"),
    ] {
        assert_eq!(header(name), Some(expected), "{name}");
    }
    assert_eq!((header("x-skep-missed"), backup.path.as_str()), (None, "/run"));
    assert_eq!(&backup.body.in_message()[..], br#"{"job":"nightly"}"#);
    assert_eq!(report.run_at.unwrap() - backup.run_at.unwrap(), time::Duration::seconds(60));
    assert!((0..=300).contains(&(backup.run_at.unwrap() - planned).whole_seconds()));
    let again = receiver.occurrence_calls(schedule, &event, &due, Run::Planned, at("2026-11-29T23:00:00Z"));
    let told = |calls: &[skep_protocol::Call]| {
        calls.iter().map(|call| (call.run_at, call.fingerprint.clone(), call.occurrence.clone())).collect::<Vec<_>>()
    };
    assert_eq!(told(&again), told(&calls), "each planner makes the same calls");
}
