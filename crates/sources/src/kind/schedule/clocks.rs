//! The days on which clocks change, in both directions, in zones that do it in their own ways.

use std::time::Duration;

use serde_json::json;

use super::tests::{at, schedule};

/// The times of a day in a zone, from a moment on, as the clock on the wall shows them.
pub(super) fn times(cron: &str, zone: &str, from: &str, most: usize) -> Vec<String> {
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
fn each_of_several_fixed_times_runs_once_on_the_day_of_a_change() {
    let berlin = |cron: &str, from: &str| times(cron, "Europe/Berlin", from, 3);
    let (spring, autumn) = ("2026-03-29T00:00:00+01:00", "2026-10-25T00:00:00+02:00");
    for (cron, from, expected) in [
        ("0 2,14 * * *", spring, ["29T03:00:00+02:00", "29T14:00:00+02:00", "30T02:00:00+02:00"]),
        ("0 2,14 * * *", autumn, ["25T02:00:00+02:00", "25T14:00:00+01:00", "26T02:00:00+01:00"]),
        // Both are left out, and the first moment after the gap is one moment.
        ("15,45 2 * * *", spring, ["29T03:00:00+02:00", "30T02:15:00+02:00", "30T02:45:00+02:00"]),
        ("15,45 2 * * *", autumn, ["25T02:15:00+02:00", "25T02:45:00+02:00", "26T02:15:00+01:00"]),
        ("0 0 1-2,3 * * *", autumn, ["25T01:00:00+02:00", "25T02:00:00+02:00", "25T03:00:00+01:00"]),
        // Every minute of an hour is an interval.
        ("0-59 2 * * *", spring, ["30T02:00:00+02:00", "30T02:01:00+02:00", "30T02:02:00+02:00"]),
    ] {
        let month = from.get(..8).unwrap();
        assert_eq!(berlin(cron, from), expected.map(|time| format!("{month}{time}")), "{cron}");
    }
}

#[test]
fn a_midnight_or_a_day_that_is_left_out_ends_no_schedule() {
    let daily = |zone: &str, from: &str| times("0 0 * * *", zone, from, 2);
    for (zone, from, expected) in [
        ("Africa/Cairo", "2023-04-28T00:00:00+02:00", ["2023-04-28T01:00:00+03:00", "2023-04-29T00:00:00+03:00"]),
        ("Asia/Beirut", "2024-03-31T00:00:00+02:00", ["2024-03-31T01:00:00+03:00", "2024-04-01T00:00:00+03:00"]),
        ("America/Havana", "2026-03-08T00:00:00-05:00", ["2026-03-08T01:00:00-04:00", "2026-03-09T00:00:00-04:00"]),
        ("Atlantic/Azores", "2026-10-25T00:00:00Z", ["2026-10-25T00:00:00Z", "2026-10-26T00:00:00-01:00"]),
        // There was no 30 December 2011.
        ("Pacific/Apia", "2011-12-29T00:00:00-10:00", ["2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00"]),
    ] {
        assert_eq!(daily(zone, from), expected, "{zone}");
    }
    let noon = times("0 12 * * *", "Pacific/Apia", "2011-12-29T20:00:00-10:00", 2);
    assert_eq!(noon, ["2011-12-31T12:00:00+14:00", "2012-01-01T12:00:00+14:00"]);
    let half_an_hour = times("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00+10:30", 2);
    assert_eq!(half_an_hour, ["2026-10-03T02:15:00+10:30", "2026-10-04T02:30:00+11:00"]);
    let leap = times("0 0 29 2 *", "Europe/Berlin", "2096-03-01T00:00:00+01:00", 1);
    assert_eq!(leap, ["2104-02-29T00:00:00+01:00"], "2100 is no leap year");
}

#[test]
fn intervals_follow_real_time_through_both_changes() {
    let spring = times("*/30 * * * *", "Europe/Berlin", "2026-03-29T01:30:00+01:00", 3);
    assert_eq!(spring, ["2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"]);
    let autumn = times("*/30 * * * *", "Europe/Berlin", "2026-10-25T02:00:00+02:00", 5);
    let expected = ["02:00:00+02:00", "02:30:00+02:00", "02:00:00+01:00", "02:30:00+01:00", "03:00:00+01:00"];
    assert_eq!(autumn, expected.map(|time| format!("2026-10-25T{time}")));
}
