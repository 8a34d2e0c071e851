//! What gateways and queue-workers report of each function, as sums of a second.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use skep_protocol::{CallFigures, FunctionName, LoadReport, Part, Parts, Waiting};
use tokio::time::Instant;

/// Without a report for this long, a sender is silent: each sends one a second.
const SILENT_AFTER: Duration = Duration::from_secs(3);
/// A sender that is silent for this long is gone, and nobody waits for it any more.
const GONE_AFTER: Duration = Duration::from_secs(60);
/// For this long after the first report is expected, some may be missing.
const FIRST_REPORTS: Duration = Duration::from_secs(3);
/// What a function waits for is not known any more when it was seen this long ago.
const WAITING_TTL: Duration = Duration::from_secs(10);
/// How long a function is looked at after it was used.
const IN_USE_TTL: Duration = Duration::from_secs(30);

/// The reports since this controller leads.
pub(crate) struct Loads {
    since: Instant,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    senders: HashMap<String, Sender>,
    functions: HashMap<FunctionName, Seen>,
}

struct Sender {
    reported_at: Instant,
    /// It has nothing to report until it reports again.
    is_idle: bool,
    part: Option<Part>,
}

/// What was reported of a function.
#[derive(Default)]
struct Seen {
    used: Option<Instant>,
    /// Counts since they were taken.
    counts: CallFigures,
    /// Calls that run and that wait, by the sender that said so last, and when.
    now: HashMap<String, (Instant, u64, u64)>,
    waiting: Option<(Instant, Waiting)>,
    /// Calls that come due soon.
    due: u64,
    /// It is looked at although nobody uses it: its replicas are not as they would be then.
    is_watched: bool,
}

impl Seen {
    fn add_present(&self, calls: &mut CallFigures, now: Instant) {
        for (_, in_flight, held) in self.now.values().filter(|(at, ..)| now - *at < SILENT_AFTER) {
            calls.in_flight += *in_flight;
            calls.held += *held;
        }
    }

    fn waiting(&self, now: Instant) -> Option<Waiting> {
        self.waiting.filter(|(at, _)| now - *at < WAITING_TTL).map(|(_, waiting)| waiting)
    }
}

/// One second of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Load {
    pub(crate) calls: CallFigures,
    /// Queued calls that nobody has taken.
    pub(crate) waiting: Waiting,
    /// Calls that come due before a replica that is started now is ready.
    pub(crate) due: u64,
    /// Their queue could not be looked at.
    pub(crate) is_unseen: bool,
    /// All that should have reported has.
    pub(crate) is_complete: bool,
}

impl Loads {
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), known: Mutex::default() }
    }

    /// Takes each report until the connection ends for good.
    pub(crate) async fn follow(&self, reports: impl Stream<Item = LoadReport>) {
        let mut reports = std::pin::pin!(reports);
        while let Some(report) = reports.next().await {
            self.add(report, Instant::now());
        }
    }

    fn add(&self, report: LoadReport, now: Instant) {
        let mut known = self.known();
        for function in report.functions {
            let seen = known.functions.entry(function.name).or_default();
            let CallFigures { in_flight, held, .. } = function.calls;
            seen.used = Some(now);
            seen.counts.add(&CallFigures { in_flight: 0, held: 0, ..function.calls });
            seen.now.insert(report.sender.clone(), (now, in_flight, held));
        }
        known.senders.insert(report.sender, Sender { reported_at: now, is_idle: report.last, part: report.part });
    }

    /// When a function was used last, as far as it is known.
    pub(crate) fn last_use(&self, name: &FunctionName) -> Option<Instant> {
        self.known().functions.get(name)?.used
    }

    /// Has a function looked at until it is [settled](Self::settle).
    pub(crate) fn watch(&self, name: &FunctionName) {
        self.known().functions.entry(name.clone()).or_default().is_watched = true;
    }

    pub(crate) fn settle(&self, name: &FunctionName) {
        if let Some(seen) = self.known().functions.get_mut(name) {
            seen.is_watched = false;
        }
    }

    pub(crate) fn forget(&self, name: &FunctionName) {
        self.known().functions.remove(name);
    }

    /// The functions that something may have to be decided about, those whose queues were looked at longest ago first.
    pub(crate) fn in_use(&self) -> Vec<FunctionName> {
        let known = self.known();
        let is_used = |seen: &Seen| {
            let waits = seen.waiting.is_some_and(|(_, waiting)| waiting.depth > 0);
            waits || seen.is_watched || seen.used.is_some_and(|used| used.elapsed() < IN_USE_TTL)
        };
        let used = known.functions.iter().filter(|(_, seen)| is_used(seen));
        let mut names: Vec<_> = used.map(|(name, seen)| (seen.waiting.map(|(at, _)| at), name.clone())).collect();
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name).collect()
    }

    /// What waits for a function, as it was just found.
    pub(crate) fn see_waiting(&self, name: &FunctionName, waiting: Waiting) {
        self.known().functions.entry(name.clone()).or_default().waiting = Some((Instant::now(), waiting));
    }

    /// How many calls come due soon of each function that has any; these are looked at.
    pub(crate) fn see_due(&self, soon: HashMap<FunctionName, u64>) {
        let mut known = self.known();
        known.functions.values_mut().for_each(|seen| seen.due = 0);
        for (name, due) in soon.into_iter().filter(|(_, due)| *due > 0) {
            let seen = known.functions.entry(name).or_default();
            seen.due = due;
            seen.is_watched = true;
        }
    }

    /// What runs and waits now, as far as it is known.
    pub(crate) fn peek(&self, name: &FunctionName) -> Load {
        let now = Instant::now();
        let known = self.known();
        let Some(seen) = known.functions.get(name) else { return Load::default() };
        let mut load = Load { waiting: seen.waiting(now).unwrap_or_default(), ..Load::default() };
        seen.add_present(&mut load.calls, now);
        load
    }

    /// What was reported of a function since it was asked for last.
    pub(crate) fn take(&self, name: &FunctionName) -> Load {
        let now = Instant::now();
        let mut known = self.known();
        let Known { senders, functions } = &mut *known;
        let Some(seen) = functions.get_mut(name) else { return Load::default() };
        let mut calls = std::mem::take(&mut seen.counts);
        let mut is_complete = now - self.since >= FIRST_REPORTS;
        seen.add_present(&mut calls, now);
        seen.now.retain(|sender, _| {
            let Some(sender) = senders.get(sender) else { return false };
            is_complete &= sender.is_idle || now - sender.reported_at < SILENT_AFTER;
            true
        });
        let waiting = seen.waiting(now);
        is_complete &= waiting.is_some();
        let is_unseen = waiting.is_none();
        Load { calls, waiting: waiting.unwrap_or_default(), due: seen.due, is_unseen, is_complete }
    }

    /// Drops senders that are gone, and returns how many report.
    pub(crate) fn sweep(&self) -> usize {
        let mut known = self.known();
        known.senders.retain(|_, sender| sender.reported_at.elapsed() < GONE_AFTER);
        let reports = |sender: &&Sender| !sender.is_idle && sender.reported_at.elapsed() < SILENT_AFTER;
        known.senders.values().filter(reports).count()
    }

    /// What senders say they are, alike ones together.
    pub(crate) fn parts(&self) -> Vec<Parts> {
        let known = self.known();
        let there = known.senders.values().filter(|sender| sender.reported_at.elapsed() < GONE_AFTER);
        let mut counts = BTreeMap::new();
        for part in there.filter_map(|sender| sender.part.clone()) {
            *counts.entry(part).or_insert(0) += 1;
        }
        counts.into_iter().map(|(part, count)| Parts { part, count }).collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use skep_protocol::FunctionLoad;
    use tokio::time::advance;

    use super::*;

    fn report(sender: &str, calls: CallFigures) -> LoadReport {
        let functions = vec![FunctionLoad { name: name(), calls }];
        LoadReport { sender: sender.to_owned(), ms: 1000, functions, ..LoadReport::default() }
    }

    fn name() -> FunctionName {
        "cat".parse().unwrap()
    }

    fn running(in_flight: u64) -> CallFigures {
        CallFigures { arrived: 1, in_flight, ..CallFigures::default() }
    }

    /// Long enough after the begin, with a queue that was looked at.
    async fn loads() -> Loads {
        let loads = Loads::new();
        advance(FIRST_REPORTS).await;
        loads.see_waiting(&name(), Waiting::default());
        loads
    }

    async fn seconds(number: u64) {
        advance(Duration::from_secs(number)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn senders_add_up_and_counts_are_taken_once() {
        let loads = loads().await;
        for (sender, in_flight) in [("a", 9), ("b", 3), ("a", 2)] {
            loads.add(report(sender, running(in_flight)), Instant::now());
        }
        let Load { calls, is_complete, .. } = loads.take(&name());
        assert_eq!((calls.arrived, calls.in_flight, is_complete), (3, 5, true));
        let Load { calls, is_complete, .. } = loads.take(&name());
        assert_eq!((calls.arrived, calls.in_flight, is_complete), (0, 5, true));
        assert_eq!(loads.sweep(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn figures_are_incomplete_while_a_sender_is_silent_until_it_is_gone() {
        let loads = loads().await;
        loads.add(report("a", running(1)), Instant::now());
        loads.add(LoadReport { last: true, ..report("b", running(0)) }, Instant::now());
        let check = async |after: u64, expected: bool| {
            seconds(after).await;
            loads.see_waiting(&name(), Waiting::default());
            loads.sweep();
            let load = loads.take(&name());
            assert_eq!((load.is_complete, load.calls.in_flight > 0), (expected, after == 2));
        };
        check(2, true).await;
        check(1, false).await;
        check(56, false).await;
        check(1, true).await;
    }

    #[tokio::test(start_paused = true)]
    async fn figures_are_incomplete_at_first_and_while_the_queue_cannot_be_seen() {
        let loads = Loads::new();
        loads.see_waiting(&name(), Waiting::default());
        assert!(!loads.take(&name()).is_complete);
        seconds(3).await;
        let Load { is_complete, is_unseen, .. } = loads.take(&name());
        assert_eq!((is_complete, is_unseen), (true, false));
        seconds(10).await;
        let Load { is_complete, is_unseen, .. } = loads.take(&name());
        assert_eq!((is_complete, is_unseen), (false, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_function_is_looked_at_while_it_is_used_or_waited_for_and_while_it_is_watched() {
        let loads = loads().await;
        assert!(loads.in_use().is_empty());
        loads.add(report("a", running(1)), Instant::now());
        seconds(29).await;
        assert_eq!(loads.in_use(), [name()]);
        seconds(1).await;
        assert!(loads.in_use().is_empty() && loads.last_use(&name()).is_some());
        loads.see_waiting(&name(), Waiting { depth: 1, ..Waiting::default() });
        assert_eq!(loads.in_use(), [name()]);
        loads.see_waiting(&name(), Waiting::default());
        loads.watch(&name());
        assert_eq!(loads.in_use(), [name()]);
        loads.settle(&name());
        assert!(loads.in_use().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_function_is_looked_at_while_calls_of_it_come_due() {
        let loads = loads().await;
        loads.see_due(HashMap::from([(name(), 7)]));
        assert_eq!((loads.in_use(), loads.take(&name()).due), (vec![name()], 7));
        loads.see_due(HashMap::from([(name(), 0)]));
        assert_eq!(loads.take(&name()).due, 0, "it is cancelled, or has come due");
        loads.settle(&name());
        assert!(loads.in_use().is_empty());
    }
}
