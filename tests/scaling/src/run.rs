//! The simulation: events in the order of their times.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use crate::{
    scaler::{Scaler, View},
    workload::Workload,
};

/// How many times longer than its workload a run may take, so that a queue is worked off.
const MAX_OVERTIME: f64 = 3.0;
/// A call that waits longer than this is late, in seconds.
const LATE: f64 = 1.0;

/// What became of a workload under an autoscaler.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Replica-seconds.
    pub cost: f64,
    pub calls: usize,
    /// Calls that waited too long.
    pub late: usize,
    /// The wait that 99 % of the calls did not exceed, in seconds.
    pub p99: f64,
    /// How often the number of replicas was changed.
    pub changes: u32,
    pub peak: u32,
}

impl Outcome {
    /// The share of calls that waited too long.
    pub fn late_share(&self) -> f64 {
        if self.calls == 0 { 0.0 } else { float(self.late) / float(self.calls) }
    }
}

/// A time that can be sorted.
#[derive(Clone, Copy, PartialEq)]
struct Time(f64);

impl Eq for Time {}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Time {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

struct Function<'a> {
    workload: &'a Workload,
    now: f64,
    /// When each replica is ready, the oldest first.
    replicas: Vec<f64>,
    /// When running calls end, and when they began.
    running: BinaryHeap<Reverse<(Time, Time)>>,
    queue: VecDeque<(f64, f64)>,
    next_call: usize,
    waits: Vec<f64>,
    want: u32,
    /// A replica was started, so the time that it takes is known.
    started: bool,
    seen: View,
    outcome: Outcome,
}

/// Runs a workload under an autoscaler.
pub fn run(workload: &Workload, scaler: &mut impl Scaler) -> Outcome {
    watch(workload, scaler, |_, _, _| ())
}

/// The same; `watch` sees each decision with what it was made from.
pub fn watch<S: Scaler>(workload: &Workload, scaler: &mut S, mut watch: impl FnMut(&View, u32, &S)) -> Outcome {
    let mut function = Function::new(workload);
    let mut next_look = scaler.period();
    while !function.over() {
        function.advance(function.next_event().min(next_look));
        if function.now >= next_look {
            next_look = function.now + scaler.period();
            let view = function.look();
            let want = scaler.scale(&view);
            watch(&view, want, scaler);
            function.scale(want);
        }
    }
    function.outcome()
}

impl<'a> Function<'a> {
    fn new(workload: &'a Workload) -> Self {
        let want = workload.limits.min;
        Self {
            workload,
            now: 0.0,
            replicas: vec![0.0; want as usize],
            running: BinaryHeap::new(),
            queue: VecDeque::new(),
            next_call: 0,
            waits: Vec::new(),
            want,
            started: false,
            seen: View::default(),
            outcome: Outcome { peak: want, ..Outcome::default() },
        }
    }

    fn over(&self) -> bool {
        let idle = self.queue.is_empty() && self.running.is_empty();
        self.now >= self.workload.end * MAX_OVERTIME || (self.now >= self.workload.end && idle)
    }

    fn next_event(&self) -> f64 {
        let call = self.workload.calls.get(self.next_call).map_or(f64::INFINITY, |(at, _)| *at);
        let end = self.running.peek().map_or(f64::INFINITY, |Reverse((end, _))| end.0);
        let ready = self.replicas.iter().copied().filter(|ready| *ready > self.now).fold(f64::INFINITY, f64::min);
        call.min(end).min(ready)
    }

    /// Goes on to this time, and does what happens then.
    fn advance(&mut self, to: f64) {
        let passed = to - self.now;
        let slots = float(self.workload.limits.slots as usize);
        let running = float(self.running.len());
        self.seen.busy += running * passed;
        self.seen.queue += float(self.queue.len()) * passed;
        self.seen.span += passed;
        // Replicas that were taken away finish what they run.
        self.outcome.cost += float(self.replicas.len()).max((running / slots).ceil()) * passed;
        self.now = to;
        while let Some((at, lasts)) = self.workload.calls.get(self.next_call).filter(|(at, _)| *at <= to) {
            self.queue.push_back((*at, *lasts));
            self.next_call += 1;
            self.seen.arrived += 1.0;
        }
        while let Some(Reverse((end, begun))) = self.running.peek().copied().filter(|Reverse((end, _))| end.0 <= to) {
            self.running.pop();
            self.seen.done += 1.0;
            self.seen.longest = self.seen.longest.max(end.0 - begun.0);
        }
        let takes = self.ready() as usize * self.workload.limits.slots as usize;
        while self.running.len() < takes
            && let Some((at, lasts)) = self.queue.pop_front()
        {
            self.waits.push(to - at);
            self.running.push(Reverse((Time(to + lasts), Time(to))));
        }
    }

    fn ready(&self) -> u32 {
        count(self.replicas.iter().filter(|ready| **ready <= self.now).count())
    }

    /// What an autoscaler sees; the sums begin anew.
    fn look(&mut self) -> View {
        let oldest = self.running.iter().map(|Reverse((_, begun))| self.now - begun.0).fold(0.0, f64::max);
        let ready = self.ready();
        self.started |= self.replicas.iter().any(|ready| (f64::MIN_POSITIVE..=self.now).contains(ready));
        let view = View {
            now: self.now,
            ready,
            starting: count(self.replicas.len()) - ready,
            want: self.want,
            in_flight: float(self.running.len()),
            queued: float(self.queue.len()),
            age: self.queue.front().map_or(0.0, |(at, _)| self.now - at),
            longest: self.seen.longest.max(oldest),
            start: Some(self.workload.start).filter(|_| self.started),
            ..self.seen.clone()
        };
        self.seen = View::default();
        view
    }

    /// Starts replicas, or takes the newest away.
    fn scale(&mut self, want: u32) {
        self.outcome.changes += u32::from(want != self.want);
        self.outcome.peak = self.outcome.peak.max(want);
        self.want = want;
        self.replicas.sort_by(f64::total_cmp);
        self.replicas.resize(want as usize, self.now + self.workload.start);
    }

    fn outcome(mut self) -> Outcome {
        // What never began has waited until now.
        self.waits.extend(self.queue.iter().map(|(at, _)| self.now - at));
        self.waits.sort_by(f64::total_cmp);
        let calls = self.waits.len();
        let late = self.waits.iter().filter(|wait| **wait > LATE).count();
        let p99 = self.waits.get(calls * 99 / 100).copied().unwrap_or(0.0);
        Outcome { calls, late, p99, ..self.outcome }
    }
}

#[expect(clippy::cast_precision_loss)]
pub(crate) fn float(count: usize) -> f64 {
    count as f64
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
