//! The figures of the last hour, for charts, for all functions together and for each one that was in use: the last 15 minutes with a point each two seconds, and the whole hour with one each half a minute.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use skep_protocol::{CallFigures, CallTimes};
use time::OffsetDateTime;

/// How long a chart goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum Span {
    #[default]
    #[serde(rename = "15m")]
    Quarter,
    #[serde(rename = "1h")]
    Hour,
}

impl Span {
    /// How far points are apart, in seconds.
    fn step(self) -> i64 {
        match self {
            Self::Quarter => 2,
            Self::Hour => 30,
        }
    }

    /// How many there are.
    fn points(self) -> i64 {
        match self {
            Self::Quarter => 450,
            Self::Hour => 120,
        }
    }
}

/// Functions with points; the one that was not in use for the longest time makes room.
const MAX_FUNCTIONS: usize = 500;

/// What a point has: the figures of one step, the most that ran and waited in it, and the replicas at its end. There are many, so it has no more than charts show.
#[derive(Clone, Copy, Debug, Default)]
struct Point {
    done: u64,
    failed: u64,
    busy_ms: u64,
    ms: u64,
    p50: Option<f32>,
    p95: Option<f32>,
    /// Calls that run, and that wait for a replica.
    in_flight: u64,
    waiting: Option<u64>,
    age_ms: Option<u64>,
    replicas: u64,
    ready: u64,
}

impl Point {
    /// That of a step in which nothing went on.
    fn idle(before: &Self) -> Self {
        Self { waiting: Some(0), age_ms: Some(0), replicas: before.replicas, ready: before.ready, ..Self::default() }
    }

    /// Adds what came before in the same step.
    fn add(&mut self, before: &Self) {
        self.done += before.done;
        self.failed += before.failed;
        self.busy_ms += before.busy_ms;
        self.ms += before.ms;
        self.in_flight = self.in_flight.max(before.in_flight);
        self.waiting = self.waiting.max(before.waiting);
        self.age_ms = self.age_ms.max(before.age_ms);
    }
}

/// What is known of a function, or of all together, at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    pub(super) calls: CallFigures,
    /// How many milliseconds the counts cover.
    pub(super) ms: u64,
    /// `None` while it is not known.
    pub(super) waiting: Option<u64>,
    pub(super) age_ms: Option<u64>,
    pub(super) replicas: u64,
    pub(super) ready: u64,
}

/// Points by their step, the oldest first. A step without one was idle.
#[derive(Debug, Default)]
struct Points {
    points: VecDeque<(i64, Point)>,
    /// How long the calls of the last point took.
    times: CallTimes,
}

/// The points of one span.
#[derive(Debug)]
struct Track {
    span: Span,
    /// Steps of which something is known.
    steps: VecDeque<i64>,
    all: Points,
    functions: HashMap<String, Points>,
}

#[derive(Debug)]
pub(super) struct History([Track; 2]);

/// A function's points as columns, the oldest first; `null` where nothing is known.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Columns {
    /// Seconds since 1970.
    at: Vec<i64>,
    /// Calls that ended, per second.
    rate: Vec<f32>,
    /// Which part of them failed.
    errors: Vec<Option<f32>>,
    /// How many seconds each took.
    mean: Vec<Option<f32>>,
    /// Within how many seconds half of them ended, and 95 of 100.
    p50: Vec<Option<f32>>,
    p95: Vec<Option<f32>>,
    in_flight: Vec<u64>,
    waiting: Vec<Option<u64>>,
    /// For how many seconds the first call waits.
    age: Vec<Option<f32>>,
    replicas: Vec<u64>,
    ready: Vec<u64>,
}

impl Default for History {
    fn default() -> Self {
        Self([Span::Quarter, Span::Hour].map(Track::new))
    }
}

impl History {
    /// Notes a moment of some functions, and of all together if this is the first that comes of it.
    pub(super) fn add(&mut self, at: OffsetDateTime, all: Option<Moment>, functions: &[(String, Moment)]) {
        for track in &mut self.0 {
            track.add(at, all, functions);
        }
    }

    pub(super) fn forget(&mut self, name: &str) {
        for track in &mut self.0 {
            track.functions.remove(name);
        }
    }

    /// The points of a function; of all together without a name.
    pub(super) fn of(&self, name: Option<&str>, span: Span) -> Columns {
        let [quarter, hour] = &self.0;
        match span {
            Span::Quarter => quarter.of(name),
            Span::Hour => hour.of(name),
        }
    }
}

impl Track {
    fn new(span: Span) -> Self {
        Self { span, steps: VecDeque::new(), all: Points::default(), functions: HashMap::new() }
    }

    fn add(&mut self, at: OffsetDateTime, all: Option<Moment>, functions: &[(String, Moment)]) {
        let step = at.unix_timestamp() / self.span.step();
        let first = step - self.span.points() + 1;
        if self.steps.back().is_none_or(|last| *last < step) {
            self.steps.push_back(step);
        }
        while self.steps.front().is_some_and(|step| *step < first) {
            self.steps.pop_front();
        }
        if let Some(all) = all {
            self.all.add(step, all, first);
        }
        for (name, moment) in functions {
            if !self.functions.contains_key(name) {
                self.make_room();
            }
            self.functions.entry(name.clone()).or_default().add(step, *moment, first);
        }
    }

    fn make_room(&mut self) {
        while self.functions.len() >= MAX_FUNCTIONS {
            let stalest = self.functions.iter().min_by_key(|(_, points)| points.last_step());
            let Some(name) = stalest.map(|(name, _)| name.clone()) else { return };
            self.functions.remove(&name);
        }
    }

    fn of(&self, name: Option<&str>) -> Columns {
        let none = Points::default();
        let points = name.map_or(&self.all, |name| self.functions.get(name).unwrap_or(&none));
        let mut columns = Columns::default();
        let mut known = points.points.iter().peekable();
        let mut before = Point::default();
        for &step in &self.steps {
            let mut point = Point::idle(&before);
            while let Some((_, found)) = known.next_if(|(at, _)| *at <= step) {
                point = *found;
            }
            columns.push(step * self.span.step(), &point);
            before = point;
        }
        columns
    }
}

impl Points {
    /// Notes a moment in its step; steps before the `first` one are let go.
    fn add(&mut self, step: i64, moment: Moment, first: i64) {
        let Moment { calls, ms, waiting, age_ms, replicas, ready } = moment;
        let CallFigures { done, failed, busy_ms, in_flight, held, times, .. } = calls;
        let in_flight = in_flight + held;
        let mut point =
            Point { done, failed, busy_ms, ms, in_flight, waiting, age_ms, replicas, ready, ..Point::default() };
        if self.last_step() == Some(step)
            && let Some((_, before)) = self.points.pop_back()
        {
            point.add(&before);
            self.times.add(&times);
        } else {
            self.times = times;
        }
        [point.p50, point.p95] = [0.5, 0.95].map(|part| self.times.quantile(part).map(seconds));
        self.points.push_back((step, point));
        while self.points.front().is_some_and(|(step, _)| *step < first) {
            self.points.pop_front();
        }
    }

    fn last_step(&self) -> Option<i64> {
        self.points.back().map(|(step, _)| *step)
    }
}

impl Columns {
    fn push(&mut self, at: i64, point: &Point) {
        let Point { done, failed, busy_ms, ms, p50, p95, in_flight, waiting, age_ms, replicas, ready } = *point;
        let per_call = |figure: f32| (done > 0).then(|| figure / done as f32);
        self.at.push(at);
        self.rate.push(if ms > 0 { done as f32 * 1000.0 / ms as f32 } else { 0.0 });
        self.errors.push(per_call(failed as f32));
        self.mean.push(per_call(busy_ms as f32 / 1000.0));
        self.p50.push(p50);
        self.p95.push(p95);
        self.in_flight.push(in_flight);
        self.waiting.push(waiting);
        self.age.push(age_ms.map(|age| age as f32 / 1000.0));
        self.replicas.push(replicas);
        self.ready.push(ready);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "charts need no more than the seven digits of an f32")]
fn seconds(seconds: f64) -> f32 {
    seconds as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000 + second).unwrap()
    }

    fn moment(done: u64, failed: u64) -> Moment {
        let mut calls = CallFigures { done, failed, busy_ms: 100 * done, in_flight: 2, ..CallFigures::default() };
        // Of each second another bucket.
        calls.times.count(usize::try_from(failed).unwrap(), done);
        Moment { calls, ms: 1000, replicas: 3, ready: 1, ..Moment::default() }
    }

    #[test]
    fn two_seconds_are_one_point_and_an_idle_step_has_zeros() {
        let mut history = History::default();
        history.add(at(0), Some(moment(10, 1)), &[("cat".to_owned(), moment(10, 1))]);
        history.add(at(1), Some(moment(30, 3)), &[("cat".to_owned(), moment(30, 3))]);
        history.add(at(2), Some(moment(0, 0)), &[]);
        history.add(at(6), Some(moment(4, 0)), &[("cat".to_owned(), moment(4, 0))]);
        let cat = history.of(Some("cat"), Span::Quarter);
        assert_eq!(cat.at, [0, 2, 6].map(|second| 1_800_000_000 + second));
        assert_eq!((cat.rate, cat.in_flight), (vec![20.0, 0.0, 4.0], vec![2, 0, 2]));
        assert_eq!(cat.errors, [Some(0.1), None, Some(0.0)]);
        assert_eq!(cat.mean, [Some(0.1), None, Some(0.1)]);
        assert_eq!((cat.p50[1], cat.waiting), (None, vec![None, Some(0), None]), "nobody knows what waits");
        assert!(cat.p50[0].unwrap() > 0.0025 && cat.p95[0].unwrap() < 0.005, "{:?} {:?}", cat.p50, cat.p95);
        assert_eq!((cat.replicas, cat.ready), (vec![3; 3], vec![1; 3]), "replicas stay when nobody calls");
        assert_eq!(history.of(Some("unknown"), Span::Quarter).rate, [0.0; 3]);
        assert_eq!(history.of(None, Span::Quarter).rate, [20.0, 0.0, 4.0]);
        let hour = history.of(Some("cat"), Span::Hour);
        assert_eq!((hour.at, hour.rate), (vec![1_800_000_000], vec![44.0 / 3.0]), "half a minute is one point");
        assert_eq!((hour.errors, hour.in_flight), (vec![Some(4.0 / 44.0)], vec![2]));
    }

    #[test]
    fn the_most_that_waits_within_a_step_is_shown() {
        let mut history = History::default();
        for (second, waiting) in [(0, Some(1)), (4, Some(7)), (8, None)] {
            history.add(at(second), Some(Moment { waiting, ..moment(0, 0) }), &[]);
        }
        assert_eq!(history.of(None, Span::Quarter).waiting, [Some(1), Some(7), None]);
        assert_eq!(history.of(None, Span::Hour).waiting, [Some(7)]);
    }

    #[test]
    fn an_hour_and_500_functions_are_kept() {
        let mut history = History::default();
        for second in 0..4000 {
            let names = [format!("f{second}"), "busy".to_owned()];
            history.add(at(second), Some(moment(1, 0)), &names.map(|name| (name, moment(1, 0))));
        }
        for (track, points) in history.0.iter().zip([450, 120]) {
            let (busy, old) = (track.of(Some("busy")), track.of(Some("f0")));
            assert_eq!((busy.at.len(), busy.rate.iter().sum::<f32>()), (points, points as f32));
            assert!(track.functions.len() <= MAX_FUNCTIONS && track.functions.contains_key("busy"));
            assert_eq!(old.rate.iter().sum::<f32>(), 0.0);
            assert!(track.functions["busy"].points.len() <= points);
        }
    }
}
