//! The figures of all functions as they are now, and which of them have changed since a moment.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use skep_protocol::{CallFigures, CallTimes, FunctionStats, Stats, Totals};
use time::OffsetDateTime;

use super::{
    history::{History, Moment},
    view::{Row, State, Sums, View, shown},
};

/// Rows that are older are not live.
const MAX_AGE: Duration = Duration::from_secs(3);
/// Functions that are gone are named to those who look; one that looks away for longer gets everything again.
const MAX_GONE: usize = 256;

/// What the registry says of a function.
pub(super) struct Deployed {
    pub(super) name: String,
    pub(super) replicas: u64,
    pub(super) ready: u64,
    pub(super) problem: Option<String>,
}

#[derive(Debug)]
struct Seen {
    row: Row,
    /// How long the calls of the second took.
    times: CallTimes,
    /// The turn of its last change.
    changed: u64,
    /// The controller's second that has named it last.
    second: u64,
}

impl Seen {
    /// A function of which the registry says that it is there.
    fn new(turn: u64) -> Self {
        Self { row: Row::default(), times: CallTimes::default(), changed: turn, second: 0 }
    }
}

/// What a gateway knows; each turn is a moment in which something may have changed.
#[derive(Debug)]
pub(super) struct Rows {
    turn: u64,
    at: OffsetDateTime,
    ms: u64,
    totals: Totals,
    second: u64,
    arrived: Option<Instant>,
    state: State,
    rows: BTreeMap<String, Seen>,
    gone: VecDeque<(u64, String)>,
    pub(super) history: History,
}

impl Rows {
    pub(super) fn new(at: OffsetDateTime) -> Self {
        Self {
            turn: 1,
            at,
            ms: 1000,
            totals: Totals::default(),
            second: 0,
            arrived: None,
            state: State::default(),
            rows: BTreeMap::new(),
            gone: VecDeque::new(),
            history: History::default(),
        }
    }

    /// Takes a second of the controller, or a further part of it.
    pub(super) fn take(&mut self, stats: &Stats, now: Instant) {
        let is_next = stats.seq != self.second;
        let finished = self.second;
        self.turn += 1;
        (self.at, self.ms, self.totals, self.second) = (stats.at, stats.ms, stats.totals, stats.seq);
        (self.arrived, self.state) = (Some(now), State::Live);
        if is_next {
            self.calm(finished);
        }
        let moments: Vec<_> = stats.functions.iter().map(|function| self.put(function)).collect();
        let Totals { calls, waiting, .. } = self.totals;
        let all = is_next.then_some(Moment { calls, ms: self.ms, waiting: Some(waiting), ..Moment::default() });
        self.history.add(self.at, all, &moments);
    }

    fn put(&mut self, function: &FunctionStats) -> (String, Moment) {
        let FunctionStats { calls, waiting, age_ms, unseen, replicas, ready, starting, .. } = *function;
        let (name, scaling) = (function.name.to_string(), function.scaling.clone());
        let [waiting, age_ms] = [waiting, age_ms].map(|figure| (!unseen).then_some(figure));
        let moment = Moment { calls, ms: self.ms, waiting, age_ms, replicas, ready };
        let (calls, latency, times) = shown(calls);
        let before = self.rows.get(&name).map(|seen| &seen.row);
        let problem = before.and_then(|row| row.problem.clone());
        let row =
            Row { name: name.clone(), calls, latency, waiting, age_ms, replicas, ready, starting, scaling, problem };
        let changed = match self.rows.get(&name) {
            Some(seen) if seen.row == row => seen.changed,
            _ => self.turn,
        };
        self.rows.insert(name.clone(), Seen { row, times, changed, second: self.second });
        (name, moment)
    }

    /// What the last second did not name any more is not in use, and nothing waits for it.
    fn calm(&mut self, finished: u64) {
        for seen in self.rows.values_mut() {
            let row = &mut seen.row;
            if seen.second != finished && (row.calls != CallFigures::default() || row.waiting.is_none()) {
                (row.calls, row.latency, seen.times) = Default::default();
                (row.waiting, row.age_ms) = (Some(0), Some(0));
                seen.changed = self.turn;
            }
        }
    }

    /// Takes what the registry says now, and whether NATS is there.
    pub(super) fn compare(&mut self, deployed: Vec<Deployed>, has_nats: bool, now: Instant, at: OffsetDateTime) {
        self.turn += 1;
        let is_fresh = self.arrived.is_some_and(|arrived| now.duration_since(arrived) < MAX_AGE);
        self.state = match (has_nats, is_fresh) {
            (false, _) => State::NoNats,
            (true, true) => State::Live,
            (true, false) => State::NoController,
        };
        if !is_fresh {
            self.at = at;
        }
        let mut rows = std::mem::take(&mut self.rows);
        for Deployed { name, replicas, ready, problem } in deployed {
            let known = rows.remove(&name);
            let mut seen = known.unwrap_or_else(|| Seen::new(self.turn));
            let row = Row { name: name.clone(), replicas, ready, problem, ..seen.row.clone() };
            let starting = row.starting.min(replicas.saturating_sub(ready));
            let row = Row { starting, ..row };
            if row != seen.row {
                (seen.row, seen.changed) = (row, self.turn);
            }
            self.rows.insert(name, seen);
        }
        for name in rows.into_keys() {
            self.history.forget(&name);
            self.gone.push_back((self.turn, name));
        }
        while self.gone.len() > MAX_GONE {
            self.gone.pop_front();
        }
    }

    /// What has changed since a turn, of the functions that a caller may see; everything if that is too long ago.
    pub(super) fn since(&self, turn: Option<u64>, may_see: impl Fn(&str) -> bool, is_limited: bool) -> View {
        let missed = |turn: u64| self.gone.len() == MAX_GONE && self.gone.front().is_some_and(|(at, _)| *at > turn);
        let turn = turn.filter(|turn| !missed(*turn));
        let seen =
            self.rows.values().filter(|seen| turn.is_none_or(|turn| seen.changed > turn) && may_see(&seen.row.name));
        let gone = self.gone.iter().filter(|(at, name)| turn.is_some_and(|turn| *at > turn) && may_see(name));
        let gone = gone.map(|(_, name)| name.clone()).filter(|name| !self.rows.contains_key(name));
        View {
            at: self.at,
            state: self.state,
            ms: self.ms,
            all: turn.is_none(),
            functions: seen.map(|seen| seen.row.clone()).collect(),
            gone: gone.collect(),
            totals: Sums::of(if is_limited { self.totals_of(may_see) } else { self.totals }),
            turn: self.turn,
        }
    }

    fn totals_of(&self, may_see: impl Fn(&str) -> bool) -> Totals {
        let mut totals = Totals { senders: self.totals.senders, ..Totals::default() };
        for seen in self.rows.values().filter(|seen| may_see(&seen.row.name)) {
            totals.calls.add(&CallFigures { times: seen.times, ..seen.row.calls });
            totals.waiting += seen.row.waiting.unwrap_or_default();
            totals.functions += 1;
        }
        totals
    }
}

/// What those get who see everything, made once for all of them.
#[derive(Debug, Default)]
pub(super) struct Shared(Option<(Option<u64>, u64, Arc<str>)>);

impl Shared {
    pub(super) fn get(&mut self, rows: &Rows, since: Option<u64>) -> (u64, Arc<str>) {
        if let Some((from, to, text)) = &self.0
            && (*from, *to) == (since, rows.turn)
        {
            return (*to, Arc::clone(text));
        }
        let view = rows.since(since, |_| true, false);
        let text: Arc<str> = serde_json::to_string(&view).unwrap_or_default().into();
        self.0 = Some((since, view.turn, Arc::clone(&text)));
        (view.turn, text)
    }
}

#[cfg(test)]
mod tests;
