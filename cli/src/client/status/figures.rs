//! Rates and latencies, from two looks at an installation.

use serde::Serialize;
use skep_protocol::{FunctionFigures, InstallationStatus};

use crate::client::table;

/// A function, and how it did between two looks.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    #[serde(flatten)]
    pub(super) now: FunctionFigures,
    /// Calls that ended, per second.
    pub(super) rate: f64,
    /// The share of them that failed, from 0 to 1; none if no call ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) errors: Option<f64>,
    /// How long they took on average, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latency: Option<f64>,
}

/// How rows are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Name,
    Rate,
    Queue,
    Dead,
}

impl Order {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Name => Self::Rate,
            Self::Rate => Self::Queue,
            Self::Queue => Self::Dead,
            Self::Dead => Self::Name,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Rate => "rate",
            Self::Queue => "queue",
            Self::Dead => "dead letters",
        }
    }
}

pub(super) fn rows(before: &InstallationStatus, now: &InstallationStatus, order: Order) -> Vec<Row> {
    let passed = (now.at - before.at).as_seconds_f64();
    let known = |name: &str| before.functions.iter().find(|one| one.name == name);
    let mut rows: Vec<_> = now.functions.iter().map(|one| row(known(&one.name), one, passed)).collect();
    match order {
        // As they came.
        Order::Name => {}
        Order::Rate => rows.sort_by(|one, other| other.rate.total_cmp(&one.rate)),
        Order::Queue => rows.sort_by_key(|row| std::cmp::Reverse(row.now.queue_depth)),
        Order::Dead => rows.sort_by_key(|row| std::cmp::Reverse(row.now.dead_letters)),
    }
    rows
}

fn row(before: Option<&FunctionFigures>, now: &FunctionFigures, passed: f64) -> Row {
    // Another gateway may answer, or the same one after a restart, with counts of its own.
    let before = before.filter(|before| before.ended <= now.ended && before.seconds <= now.seconds);
    let (ended, failed, seconds) = match before {
        Some(before) => {
            (now.ended - before.ended, now.failed.saturating_sub(before.failed), now.seconds - before.seconds)
        }
        None => (0, 0, 0.0),
    };
    let share = |part: f64| (ended > 0).then(|| part / ended as f64);
    let rate = if passed > 0.0 { ended as f64 / passed } else { 0.0 };
    Row { now: now.clone(), rate, errors: share(failed as f64), latency: share(seconds) }
}

pub(super) const HEADINGS: [&str; 9] =
    ["FUNCTION", "READY", "RATE", "ERRORS", "LATENCY", "IN FLIGHT", "QUEUE", "OLDEST", "DEAD"];

/// What people read of a row.
pub(super) fn cells(row: &Row) -> [String; 9] {
    let FunctionFigures { name, replicas, available_replicas, in_flight, queue_depth, dead_letters, .. } = &row.now;
    let some = |count: Option<u64>| count.map_or("?".to_owned(), |count| count.to_string());
    let oldest = row.now.queue_age_seconds.filter(|_| queue_depth.is_some_and(|depth| depth > 0));
    [
        name.clone(),
        format!("{available_replicas}/{replicas}"),
        format!("{:.1}/s", row.rate),
        row.errors.map_or(String::new(), |errors| format!("{:.0}%", errors * 100.0)),
        row.latency.map_or(String::new(), seconds),
        in_flight.to_string(),
        some(*queue_depth),
        oldest.map_or(String::new(), seconds),
        some(*dead_letters),
    ]
}

/// What a narrow screen has no room for, in this order: OLDEST, LATENCY, IN FLIGHT, ERRORS and RATE.
const LEFT_OUT: [usize; 5] = [7, 4, 5, 3, 2];

/// The table with as many columns as fit.
pub(super) fn table_of(rows: &[&Row], width: usize) -> Vec<String> {
    let mut left_out = LEFT_OUT.iter();
    let mut kept: Vec<usize> = (0..HEADINGS.len()).collect();
    loop {
        let chosen = |cells: Vec<String>| kept.iter().filter_map(|at| cells.get(*at).cloned()).collect::<Vec<_>>();
        let headings = chosen(HEADINGS.map(str::to_owned).to_vec());
        let lines = table::lines(headings, rows.iter().map(|row| chosen(cells(row).to_vec())));
        if lines.iter().all(|line| line.chars().count() <= width) {
            return lines;
        }
        match left_out.next() {
            Some(column) => kept.retain(|at| at != column),
            None => return lines,
        }
    }
}

/// A time that is short to read.
fn seconds(seconds: f64) -> String {
    match seconds {
        short if short < 1.0 => format!("{:.1} ms", short * 1000.0),
        long if long < 100.0 => format!("{long:.1} s"),
        longer => format!("{:.0} min", longer / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use time::{Duration, OffsetDateTime};

    use super::*;

    fn status(at: i64, figures: &[(&str, u64, u64, f64)]) -> InstallationStatus {
        let functions = figures.iter().map(|&(name, ended, failed, seconds)| FunctionFigures {
            name: name.to_owned(),
            ended,
            failed,
            seconds,
            ..FunctionFigures::default()
        });
        let at = OffsetDateTime::UNIX_EPOCH + Duration::seconds(at);
        InstallationStatus {
            at,
            functions: functions.collect(),
            dead_letters: None,
            queue_bytes: None,
            queue_bytes_limit: None,
        }
    }

    #[test]
    fn rates_are_of_the_time_between_two_looks() {
        let before = status(0, &[("a", 10, 0, 1.0), ("b", 5, 5, 5.0), ("c", 100, 0, 1.0)]);
        let now = status(2, &[("a", 30, 5, 3.0), ("b", 5, 5, 5.0), ("c", 3, 0, 0.1), ("d", 4, 0, 1.0)]);
        let rows = rows(&before, &now, Order::Rate);
        let shown: Vec<_> = rows.iter().map(|row| cells(row)[..5].join(" ")).collect();
        assert_eq!(shown, ["a 0/0 10.0/s 25% 100.0 ms", "b 0/0 0.0/s  ", "c 0/0 0.0/s  ", "d 0/0 0.0/s  "]);
    }

    #[test]
    fn a_narrow_screen_shows_queues_and_dead_letters_before_times() {
        let now = status(2, &[("hello", 30, 5, 3.0)]);
        let rows = rows(&status(0, &[]), &now, Order::Name);
        let headings = |width| table_of(&[&rows[0]], width)[0].split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(headings(80), "FUNCTION READY RATE ERRORS LATENCY IN FLIGHT QUEUE OLDEST DEAD");
        assert_eq!(headings(40), "FUNCTION READY RATE QUEUE DEAD");
        assert_eq!(headings(10), "FUNCTION READY QUEUE DEAD");
    }

    #[test]
    fn times_are_short_to_read() {
        assert_eq!([0.0123, 1.26, 300.0].map(seconds), ["12.3 ms", "1.3 s", "5 min"]);
    }
}
