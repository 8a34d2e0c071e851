use std::collections::BTreeSet;

use serde_json::{Value, json};
use skep_protocol::CallId;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{clocks::times, *};
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
    let exact = schedule(&json!({ "every": "1h", "from": "2026-12-01T00:00:00Z", "until": "2026-12-01T02:00:00Z" }));
    assert_eq!(exact.next_times(at("2026-11-01T00:00:00Z"), 9), expected, "the first and the last moment are in it");
}

#[test]
fn what_cannot_be_a_schedule_is_refused_with_the_key_and_the_fix() {
    for (spec, expected) in [
        (json!({ "cron": "0 0 30 2 *" }), "cron: \"0 0 30 2 *\" never fires"),
        (json!({ "cron": "0 0 31 4,6 *" }), "cron: \"0 0 31 4,6 *\" never fires"),
        (json!({ "cron": "9-8 0 * * *" }), "cron: \"9-8 0 * * *\" is not a cron expression"),
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
    let shortest = self::schedule(&json!({ "every": "1h", "jitter": "1s" }));
    let delays: BTreeSet<_> = planned.iter().map(|at| (shortest.due_at("a", *at) - *at).whole_seconds()).collect();
    assert_eq!(delays, BTreeSet::from([0, 1]), "no later than the jitter, and that late too");
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
    let event = receiver.occurrence_event(schedule, id, (planned, None), None, &|_| Vec::new());
    let due = Due { at: planned, overlap: Overlap::Skip, missed: None, previous: None };
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
    assert_eq!(backup.run_at, Some(schedule.due_at("shop", planned)));
    let lateness = |call: &skep_protocol::Call| call.occurrence.clone().unwrap().lateness;
    let next = schedule.due_at("shop", schedule.after(planned).unwrap());
    assert_eq!(lateness(backup).unwrap().next_at, Some(next));
    assert_eq!(lateness(report).unwrap().next_at, Some(next + time::Duration::seconds(60)), "that of its route");
    // The latest runs although it was missed, unless the next one is due before anybody takes it.
    let (late, now) = (Due { missed: Some(3), ..due.clone() }, at("2026-11-30T09:00:00Z"));
    let late = receiver.occurrence_calls(schedule, &event, &late, Run::Planned, now);
    assert_eq!((late[0].run_at, lateness(&late[0]).unwrap().next_at), (Some(now), Some(next)));
    let again = receiver.occurrence_calls(schedule, &event, &due, Run::Planned, at("2026-11-29T23:00:00Z"));
    let shown = |calls: &[skep_protocol::Call]| {
        calls.iter().map(|call| (call.run_at, call.fingerprint.clone(), call.occurrence.clone())).collect::<Vec<_>>()
    };
    assert_eq!(shown(&again), shown(&calls), "each planner makes the same calls");
}

#[test]
fn the_end_of_time_ends_no_planner() {
    let last = receiver(
        "{every: 1m, from: '9999-12-31T23:58:00Z', timezone: Europe/Berlin, jitter: 24h, \
         routes: [{to: backup, delay: 24h}]}",
    );
    let (schedule, now) = (last.schedule().unwrap(), at("2026-11-29T12:00:00Z"));
    let step = schedule.step(now, now, now);
    assert_eq!((step.run.len(), schedule.next_times(now, 9).len()), (2, 2));
    for due in &step.run {
        let id = occurrence_id(due.at).unwrap();
        let event = last.occurrence_event(schedule, id, (due.at, None), None, &|_| Vec::new());
        assert!(last.occurrence_calls(schedule, &event, due, Run::Planned, now)[0].run_at.unwrap() >= due.at);
    }
}

#[test]
fn functions_that_name_its_topics_are_called_and_what_was_missed_calls_nobody() {
    let receiver = nightly();
    let schedule = receiver.schedule().unwrap();
    let planned = at("2026-11-30T02:00:00Z");
    let subscribers = |topics: &[String]| {
        assert_eq!(topics, ["shop", "shop.night"]);
        vec!["audit".parse().unwrap(), "report".parse().unwrap()]
    };
    let event = |ignored| {
        let id = occurrence_id(planned).unwrap();
        receiver.occurrence_event(schedule, id, (planned, None), ignored, &subscribers)
    };
    let routes: Vec<_> = event(None).decision.routes.iter().map(|route| route.route.to_string()).collect();
    assert_eq!(routes, ["backup", "the.report", "topic_audit"], "a function gets it once");
    let missed = event(Some("it was missed")).decision;
    assert_eq!((missed.routes.len(), missed.ignored.len()), (0, 3));
    let functions: Vec<_> = receiver.scheduled_functions(schedule, &subscribers).into_iter().collect();
    assert_eq!(functions, ["audit", "backup", "report"].map(|name| name.parse().unwrap()));
}

#[test]
fn the_ids_of_calls_of_functions_with_long_names_are_valid() {
    let (source, route) = ("s".repeat(63).parse().unwrap(), format!("topic_{}", "f".repeat(50)).parse().unwrap());
    let id = CallId::of_occurrence(&source, &route, &"now-01a2296a-5e14-7fbc-9b39-ef26fe6eb688".parse().unwrap());
    assert!(id.as_str().parse::<CallId>().is_ok(), "{id}");
    assert!(id.as_str().starts_with(&CallId::of_schedule(&source)));
    let other = format!("topic_{}", "f".repeat(49)).parse().unwrap();
    let other = CallId::of_occurrence(&source, &other, &"now-01a2296a-5e14-7fbc-9b39-ef26fe6eb688".parse().unwrap());
    assert_ne!(id, other);
}

#[test]
fn a_gap_has_all_that_was_missed_and_is_none_if_all_of_it_runs() {
    let gap = |missed: &str, within: &str, until: &str, now: &str| {
        let text = format!("{{every: 1h, missed: {missed}, missed_within: {within}, routes: [{{to: backup}}]}}");
        let receiver = receiver(&text);
        receiver.schedule().unwrap().step(at(until), at(until), at(now)).gap
    };
    let (until, now) = ("2026-11-29T00:30:00Z", "2026-11-29T05:30:00Z");
    let expected =
        |run| Some(Gap { count: 5, first: at("2026-11-29T01:00:00Z"), last: at("2026-11-29T05:00:00Z"), run });
    assert_eq!(gap("skip", "24h", until, now), expected(0));
    assert_eq!(gap("latest", "24h", until, now), expected(1));
    assert_eq!(gap("all", "24h", until, now), None);
    assert_eq!(gap("all", "2h", until, now), expected(2), "those that are too old count");
    assert_eq!(gap("latest", "10m", until, now), expected(0), "so does the last one");
    assert_eq!(gap("latest", "24h", "2026-11-29T04:30:00Z", now), None, "the only one runs late");
    assert_eq!(gap("skip", "24h", "2026-11-29T04:59:30Z", "2026-11-29T05:00:59Z"), None, "it is on time");
    // One that is on time runs in the place of those before it.
    assert_eq!(gap("latest", "24h", until, "2026-11-29T05:00:30Z"), expected(1));
    let skip = gap("skip", "24h", until, "2026-11-29T05:00:30Z").unwrap();
    assert_eq!((skip.count, skip.last, skip.run), (4, at("2026-11-29T04:00:00Z"), 0), "it is not missed");
}

/// What runs late, by its minute and second, its overlap and for how many it runs.
fn run_late(spec: &str, until: &str, now: &str) -> Vec<(u8, u8, Overlap, Option<u64>)> {
    let receiver = receiver(&format!("{{{spec}, routes: [{{to: backup}}]}}"));
    let now = at(now);
    let run = receiver.schedule().unwrap().step(at(until), at(until), now).run;
    let late = run.iter().filter(|due| due.at <= now);
    late.map(|due| (due.at.minute(), due.at.second(), due.overlap, due.missed)).collect()
}

#[test]
fn times_of_the_last_minute_belong_to_an_outage() {
    let (until, now) = ("2026-11-29T12:00:00Z", "2026-11-29T12:02:50Z");
    let all = run_late("every: 1m, missed: all", until, now);
    assert_eq!(all, [(1, 0, Overlap::InTurn, Some(1)), (2, 0, Overlap::InTurn, Some(1))]);
    assert_eq!(run_late("every: 20s, missed: latest", until, now), [(2, 40, Overlap::Skip, Some(8))]);
    assert_eq!(run_late("every: 20s, missed: skip", until, now), [(2, 40, Overlap::Skip, None)]);
    assert_eq!(run_late("every: 1s, missed: skip", until, now).len(), 6, "what is five seconds late is in time");
    // Nobody was away.
    let on_time = [(2, 40, Overlap::Skip, None)];
    for missed in ["all", "latest", "skip"] {
        let spec = format!("every: 20s, missed: {missed}");
        assert_eq!(run_late(&spec, "2026-11-29T12:02:39Z", now), on_time, "{missed}");
    }
    let allow = run_late("every: 1s, missed: latest", "2026-11-29T12:02:45Z", now);
    assert_eq!(allow.len(), 5, "what is five seconds late is in time");
}

#[test]
fn the_latest_runs_for_planned_ones_that_nobody_ran_too() {
    let hourly = receiver("{every: 1h, routes: [{to: backup}]}");
    let listed = at("2026-11-29T00:30:00Z");
    let mut step = hourly.schedule().unwrap().step(at("2026-11-29T02:30:00Z"), listed, at("2026-11-29T03:30:00Z"));
    assert_eq!(step.gap, None, "the one that was not planned runs");
    step.also_missed(at("2026-11-29T01:00:00Z"), 2);
    let gap = Gap { count: 3, first: at("2026-11-29T01:00:00Z"), last: at("2026-11-29T03:00:00Z"), run: 1 };
    assert_eq!((step.run[0].missed, step.gap), (Some(3), Some(gap)));
    assert_eq!(step.listed.iter().map(|listed| listed.missed).collect::<Vec<_>>(), [None, None, Some(3)]);
    let calls = hourly.calls_between(hourly.routes()[0].name(), listed, at("2026-11-29T02:59:59Z"));
    let calls: Vec<_> = calls.iter().map(|id| id.as_str()).collect();
    assert_eq!(calls, ["cron-shop_backup-20261129T020000Z", "cron-shop_backup-20261129T010000Z"]);
}

#[test]
fn each_occurrence_that_is_over_is_listed_once_with_the_reason_why_it_does_not_run() {
    let receiver = receiver("{every: 1h, missed: latest, routes: [{to: backup}]}");
    let (listed, planned) = (at("2026-11-29T00:30:00Z"), at("2026-11-29T02:30:00Z"));
    let step = receiver.schedule().unwrap().step(planned, listed, at("2026-11-29T05:30:00Z"));
    let shown: Vec<_> = step.listed.iter().map(|one| (one.at.hour(), one.missed, one.ignored)).collect();
    let missed = Some("it was missed");
    assert_eq!(shown, [(1, None, None), (2, None, None), (3, None, missed), (4, None, missed), (5, Some(3), None)]);
}

#[test]
fn two_occurrences_are_planned_and_all_of_the_next_two_minutes_but_no_more_than_fifty() {
    let planned = |every: &str| {
        let receiver = receiver(&format!("{{every: {every}, routes: [{{to: backup}}]}}"));
        let now = at("2026-11-29T12:00:00Z");
        receiver.schedule().unwrap().step(now, now, now).run.len()
    };
    assert_eq!(["1h", "1m", "10s", "1s"].map(planned), [2, 2, 12, 50]);
}

#[test]
fn the_plan_goes_on_when_one_is_left_and_when_all_is_over() {
    let step = |text: &str, until: &str, now: &str| {
        let receiver = receiver(text);
        receiver.schedule().unwrap().step(at(until), at(until), at(now))
    };
    let hourly = "{every: 1h, routes: [{to: backup}]}";
    let next = step(hourly, "2026-11-29T14:00:00Z", "2026-11-29T13:30:00Z");
    assert_eq!(next.run.iter().map(|due| due.at).collect::<Vec<_>>(), [at("2026-11-29T15:00:00Z")]);
    assert_eq!(step(hourly, "2026-11-29T15:00:00Z", "2026-11-29T13:30:00Z").run, []);
    // What was missed is reported once, also by a schedule that has no further occurrence.
    let over = "{every: 1h, missed: skip, until: '2026-11-29T05:00:00Z', routes: [{to: backup}]}";
    let step = step(over, "2026-11-29T04:30:00Z", "2026-11-29T05:30:00Z");
    assert_eq!((step.gap.map(|gap| gap.count), step.planned_until), (Some(1), at("2026-11-29T05:30:00Z")));
}
