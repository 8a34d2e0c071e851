//! Whose turn it is among the calls of a route of a schedule: at most one runs, unless the schedule allows more.
//!
//! This is stored as one message of the route; a worker that changes it names the message that it has read, so workers agree.
//! A call is entered here before it goes to its lane, so what was decided once stays, however often it is decided again.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Overlap;
use crate::CallId;

/// Which call runs, and which wait for their turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    /// The last call that began. It may have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<CallId>,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub begun_at: Option<OffsetDateTime>,
    /// The oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Waits>,
}

/// A call that waits for its turn.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waits {
    /// Unix seconds.
    pub planned_at: i64,
    pub call_id: CallId,
    /// It came too late, and waits because all that were missed run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_missed: bool,
}

/// A call that has come due, and asks for its turn.
#[derive(Clone, Copy, Debug)]
pub struct TurnRequest<'call> {
    pub call_id: &'call CallId,
    /// Unix seconds.
    pub planned_at: i64,
    pub overlap: Overlap,
    /// The call that runs first if all run one after the other.
    pub after: Option<&'call CallId>,
    /// It came too late.
    pub is_missed: bool,
    /// All of its schedule that were missed run.
    pub all_run: bool,
    pub now: OffsetDateTime,
}

/// What becomes of a call that has come due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnDecision {
    /// It runs; the turn is written first, unless it says so already.
    Run { write: Option<Turn> },
    /// It waits; the turn is written first, unless it says so already.
    Wait { write: Option<Turn> },
    /// The turn has a call that is gone: this is written, and decided again.
    Again { write: Turn },
    /// It does not run, because of that one.
    Skip { of: CallId },
    /// That one is cancelled, and then the turn is written, and it runs.
    Replace { of: CallId, write: Turn },
}

impl Turn {
    /// The calls on which a decision depends: those that have to be looked up.
    pub fn others<'turn>(&'turn self, request: TurnRequest<'turn>) -> impl Iterator<Item = &'turn CallId> {
        let running = self.running.iter();
        let first = self.waiting.first().map(|waits| &waits.call_id);
        let after = request.after.filter(|_| request.all_run || request.overlap == Overlap::InTurn);
        running.chain(first).chain(after).filter(move |other| *other != request.call_id)
    }

    /// Whether it was decided that this call runs.
    pub fn is_running(&self, me: &CallId) -> bool {
        self.running.as_ref() == Some(me)
    }

    /// Whether it was decided that this call waits.
    pub fn has_waiting(&self, me: &CallId) -> bool {
        self.waiting.iter().any(|waits| waits.call_id == *me)
    }

    /// Whether a call that waits has come too late.
    pub fn is_missed(&self, me: &CallId) -> bool {
        self.waiting.iter().any(|waits| waits.is_missed && waits.call_id == *me)
    }

    /// Decides about a call that has come due. `is_open` tells whether a call has neither ended nor gone.
    pub fn decide(&self, request: TurnRequest<'_>, is_open: impl Fn(&CallId) -> bool) -> TurnDecision {
        let request = self.in_turn(request, &is_open);
        let TurnRequest { call_id: me, planned_at, overlap, after, .. } = request;
        if overlap == Overlap::Allow || self.is_running(me) {
            return TurnDecision::Run { write: None };
        }
        if let Some(first) = self.waiting.first().filter(|first| first.call_id != *me && !is_open(&first.call_id)) {
            return TurnDecision::Again { write: self.without(&first.call_id) };
        }
        let running = self.running.as_ref().filter(|running| is_open(running));
        // One that waits comes before what has not waited, but among those in turn the oldest is first.
        let first = self.waiting.first().filter(|first| {
            first.call_id != *me
                && (overlap != Overlap::InTurn || (first.planned_at, &first.call_id) < (planned_at, me))
        });
        // The one before it may have come due at the same moment, and not be entered yet.
        let after = after.filter(|after| overlap == Overlap::InTurn && is_open(after));
        let before = running.or(first.map(|first| &first.call_id)).or(after);
        let run = || Self { running: Some(me.clone()), begun_at: Some(request.now), ..self.without(me) };
        match (before, overlap) {
            (None, _) => TurnDecision::Run { write: Some(run()) },
            (Some(_), _) if self.has_waiting(me) => TurnDecision::Wait { write: None },
            (Some(before), Overlap::Replace) => TurnDecision::Replace { of: before.clone(), write: run() },
            (Some(_), Overlap::InTurn) => TurnDecision::Wait { write: Some(self.with(request)) },
            (Some(_), Overlap::Queue) if self.waiting.is_empty() => {
                TurnDecision::Wait { write: Some(self.with(request)) }
            }
            (Some(before), Overlap::Skip | Overlap::Queue | Overlap::Allow) => {
                TurnDecision::Skip { of: before.clone() }
            }
        }
    }

    /// If all run that were missed, one waits for those before it of which nobody has decided yet, or which wait because they were missed while none has begun since.
    fn in_turn<'call>(&self, request: TurnRequest<'call>, is_open: impl Fn(&CallId) -> bool) -> TurnRequest<'call> {
        let none_began_since = |planned_at| self.begun_at.is_none_or(|begun_at| begun_at.unix_timestamp() < planned_at);
        let is_decided = |after: &CallId| match self.waiting.iter().find(|waits| waits.call_id == *after) {
            Some(waits) => !waits.is_missed || !none_began_since(waits.planned_at),
            None => self.is_running(after),
        };
        let overlap = request.overlap.in_turn();
        let is_first = !request.after.is_some_and(|after| !is_decided(after) && is_open(after));
        if !request.all_run || overlap == request.overlap || is_first {
            return request;
        }
        TurnRequest { overlap, is_missed: true, ..request }
    }

    fn without(&self, call_id: &CallId) -> Self {
        let waiting = self.waiting.iter().filter(|waits| waits.call_id != *call_id).cloned().collect();
        Self { waiting, ..self.clone() }
    }

    fn with(&self, TurnRequest { call_id, planned_at, is_missed, .. }: TurnRequest<'_>) -> Self {
        let mut turn = self.clone();
        turn.waiting.push(Waits { planned_at, call_id: call_id.clone(), is_missed });
        turn.waiting.sort();
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn request(call_id: &CallId, planned_at: i64, overlap: Overlap) -> TurnRequest<'_> {
        TurnRequest { call_id, planned_at, overlap, after: None, is_missed: false, all_run: false, now: NOW }
    }

    fn id(text: &str) -> CallId {
        text.parse().unwrap()
    }

    fn turn(running: &str, waiting: &[&str]) -> Turn {
        let waits = |(number, call_id): (usize, &&str)| Waits {
            planned_at: number as i64,
            call_id: id(call_id),
            is_missed: false,
        };
        let running = Some(running).filter(|running| !running.is_empty()).map(id);
        Turn {
            begun_at: running.as_ref().map(|_| NOW),
            running,
            waiting: waiting.iter().enumerate().map(waits).collect(),
        }
    }

    /// All of these are open.
    fn decide(turn: &Turn, me: &str, overlap: Overlap, open: &[&str]) -> TurnDecision {
        turn.decide(request(&id(me), 9, overlap), |call| open.contains(&call.as_str()))
    }

    #[test]
    fn without_an_open_call_each_policy_runs() {
        for overlap in [Overlap::Skip, Overlap::Queue, Overlap::Replace, Overlap::InTurn] {
            for before in [turn("", &[]), turn("ended", &[])] {
                assert_eq!(decide(&before, "me", overlap, &[]), TurnDecision::Run { write: Some(turn("me", &[])) });
            }
            assert_eq!(decide(&turn("me", &[]), "me", overlap, &["me"]), TurnDecision::Run { write: None });
        }
    }

    #[test]
    fn with_an_open_call_each_policy_does_what_it_says() {
        let before = turn("a", &[]);
        assert_eq!(decide(&before, "me", Overlap::Allow, &["a"]), TurnDecision::Run { write: None });
        assert_eq!(decide(&before, "me", Overlap::Skip, &["a"]), TurnDecision::Skip { of: id("a") });
        let replaced = TurnDecision::Replace { of: id("a"), write: turn("me", &[]) };
        assert_eq!(decide(&before, "me", Overlap::Replace, &["a"]), replaced);
        for overlap in [Overlap::Queue, Overlap::InTurn] {
            let TurnDecision::Wait { write: Some(waits) } = decide(&before, "me", overlap, &["a"]) else { panic!() };
            assert!(waits.has_waiting(&id("me")) && waits.is_running(&id("a")));
            assert_eq!(decide(&waits, "me", overlap, &["a", "me"]), TurnDecision::Wait { write: None });
            let run = TurnDecision::Run { write: Some(turn("me", &[])) };
            assert_eq!(decide(&waits, "me", overlap, &["me"]), run, "a has ended");
        }
    }

    #[test]
    fn one_that_is_on_time_follows_missed_ones_that_wait_while_none_has_begun() {
        let (me, before) = (id("me"), id("b"));
        let asked = TurnRequest { after: Some(&before), all_run: true, ..request(&me, 9, Overlap::Skip) };
        let decide = |turn: &Turn| turn.decide(asked, |call| ["b", "me"].contains(&call.as_str()));
        let waits = Waits { planned_at: 5, call_id: before.clone(), is_missed: true };
        let back = Turn { waiting: vec![waits.clone()], ..Turn::default() };
        let TurnDecision::Wait { write: Some(both) } = decide(&back) else { panic!("{:?}", decide(&back)) };
        assert!(both.is_missed(&me), "the last minute of an outage belongs to it");
        let begun = Turn { begun_at: Some(NOW + time::Duration::seconds(6)), ..back.clone() };
        assert_eq!(decide(&begun), TurnDecision::Skip { of: before.clone() }, "later ones are skipped as ever");
        let queued = Turn { waiting: vec![Waits { is_missed: false, ..waits }], ..back };
        assert_eq!(decide(&queued), TurnDecision::Skip { of: before.clone() }, "nothing was missed");
    }

    #[test]
    fn one_waits_in_a_queue_and_all_wait_in_turn() {
        let before = turn("a", &["b"]);
        assert_eq!(decide(&before, "me", Overlap::Queue, &["a", "b"]), TurnDecision::Skip { of: id("a") });
        let after_a = decide(&before, "me", Overlap::Queue, &["b"]);
        assert_eq!(after_a, TurnDecision::Skip { of: id("b") }, "it is b's turn");
        let TurnDecision::Wait { write: Some(both) } = decide(&before, "me", Overlap::InTurn, &["a", "b"]) else {
            panic!()
        };
        assert_eq!(both.waiting.iter().map(|waits| waits.call_id.as_str()).collect::<Vec<_>>(), ["b", "me"]);
        assert_eq!(decide(&both, "me", Overlap::InTurn, &["b", "me"]), TurnDecision::Wait { write: None });
        let older = both.decide(request(&id("older"), 0, Overlap::InTurn), |_| true);
        let TurnDecision::Wait { write: Some(all) } = older else { panic!("{older:?}") };
        let waiting: Vec<_> = all.waiting.iter().map(|waits| waits.call_id.as_str()).collect();
        assert_eq!(waiting, ["b", "older", "me"], "by their times, whichever came first");
    }

    #[test]
    fn of_calls_in_turn_the_oldest_runs_first_whichever_asks_first() {
        let (older, newer) = (id("older"), id("newer"));
        let first = request(&older, 1, Overlap::InTurn);
        let second = TurnRequest { call_id: &newer, planned_at: 2, after: Some(&older), ..first };
        let empty = turn("ended", &[]);
        let both_open = |call: &CallId| *call == older || *call == newer;
        let TurnDecision::Wait { write: Some(entered) } = empty.decide(second, both_open) else { panic!() };
        assert_eq!(entered.decide(second, both_open), TurnDecision::Wait { write: None });
        let TurnDecision::Run { write: Some(runs) } = entered.decide(first, both_open) else { panic!() };
        assert_eq!(runs.decide(second, both_open), TurnDecision::Wait { write: None });
        let last = runs.decide(second, |call| *call == newer);
        assert_eq!(last, TurnDecision::Run { write: Some(turn("newer", &[])) }, "the older one has ended");
        let skips = TurnRequest { overlap: Overlap::Skip, ..second };
        assert!(matches!(empty.decide(skips, both_open), TurnDecision::Run { .. }), "only those in turn look back");
        let all = TurnRequest { all_run: true, ..skips };
        let TurnDecision::Wait { write: Some(waits) } = empty.decide(all, both_open) else { panic!() };
        assert!(waits.is_missed(&newer), "nobody has decided about the older one");
        let skipped = TurnDecision::Skip { of: older.clone() };
        assert_eq!(turn("older", &[]).decide(all, both_open), skipped, "it runs");
        assert_eq!(turn("ended", &["older"]).decide(all, both_open), skipped, "it waits");
    }

    #[test]
    fn a_call_that_came_too_late_is_known_while_it_waits() {
        let me = id("me");
        let late = |is_missed| TurnRequest { is_missed, ..request(&me, 9, Overlap::InTurn) };
        for is_missed in [true, false] {
            let TurnDecision::Wait { write: Some(waits) } = turn("a", &[]).decide(late(is_missed), |_| true) else {
                panic!()
            };
            assert_eq!((waits.is_missed(&me), waits.is_missed(&id("a"))), (is_missed, false));
            let written = serde_json::to_string(&waits).unwrap();
            assert_eq!(serde_json::from_str::<Turn>(&written).unwrap(), waits, "{written}");
        }
    }

    #[test]
    fn a_call_that_waited_and_is_gone_is_taken_out() {
        let again = TurnDecision::Again { write: turn("a", &[]) };
        assert_eq!(decide(&turn("a", &["b"]), "me", Overlap::Queue, &["a"]), again);
    }
}
