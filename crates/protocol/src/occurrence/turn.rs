//! Whose turn it is among the calls of a route of a schedule: at most one runs, unless the schedule allows more.
//!
//! This is stored as one message of the route; a worker that changes it names the message that it has read, so workers agree.
//! A call is entered here before it goes to its lane, so what was decided once stays, however often it is decided again.

use serde::{Deserialize, Serialize};

use super::Overlap;
use crate::CallId;

/// Which call runs, and which wait for their turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    /// The last call that began. It may have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<CallId>,
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
    /// The calls on which a decision about `me` depends: those that have to be looked up.
    pub fn others(&self, me: &CallId) -> impl Iterator<Item = &CallId> {
        let running = self.running.iter();
        let first = self.waiting.first().map(|waits| &waits.call_id);
        running.chain(first).filter(move |other| *other != me)
    }

    /// Whether it was decided that this call runs.
    pub fn is_running(&self, me: &CallId) -> bool {
        self.running.as_ref() == Some(me)
    }

    /// Whether it was decided that this call waits.
    pub fn has_waiting(&self, me: &CallId) -> bool {
        self.waiting.iter().any(|waits| waits.call_id == *me)
    }

    /// Decides about a call that has come due. `is_open` tells whether a call has neither ended nor gone.
    pub fn decide(
        &self,
        me: &CallId,
        planned_at: i64,
        overlap: Overlap,
        is_open: impl Fn(&CallId) -> bool,
    ) -> TurnDecision {
        if overlap == Overlap::Allow || self.is_running(me) {
            return TurnDecision::Run { write: None };
        }
        if let Some(first) = self.waiting.first().filter(|first| first.call_id != *me && !is_open(&first.call_id)) {
            return TurnDecision::Again { write: self.without(&first.call_id) };
        }
        let running = self.running.as_ref().filter(|running| is_open(running));
        // One that waits comes before what has not waited.
        let first = self.waiting.first().map(|first| &first.call_id);
        let before = running.or(first.filter(|first| *first != me));
        let run = || Self { running: Some(me.clone()), ..self.without(me) };
        match (before, overlap) {
            (None, _) => TurnDecision::Run { write: Some(run()) },
            (Some(_), _) if self.has_waiting(me) => TurnDecision::Wait { write: None },
            (Some(before), Overlap::Replace) => TurnDecision::Replace { of: before.clone(), write: run() },
            (Some(_), Overlap::InTurn) => TurnDecision::Wait { write: Some(self.with(me, planned_at)) },
            (Some(_), Overlap::Queue) if self.waiting.is_empty() => {
                TurnDecision::Wait { write: Some(self.with(me, planned_at)) }
            }
            (Some(before), Overlap::Skip | Overlap::Queue | Overlap::Allow) => {
                TurnDecision::Skip { of: before.clone() }
            }
        }
    }

    fn without(&self, call_id: &CallId) -> Self {
        let waiting = self.waiting.iter().filter(|waits| waits.call_id != *call_id).cloned().collect();
        Self { running: self.running.clone(), waiting }
    }

    fn with(&self, call_id: &CallId, planned_at: i64) -> Self {
        let mut turn = self.clone();
        turn.waiting.push(Waits { planned_at, call_id: call_id.clone() });
        turn.waiting.sort();
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> CallId {
        text.parse().unwrap()
    }

    fn turn(running: &str, waiting: &[&str]) -> Turn {
        let waits = |(number, call_id): (usize, &&str)| Waits { planned_at: number as i64, call_id: id(call_id) };
        Turn {
            running: Some(running).filter(|running| !running.is_empty()).map(id),
            waiting: waiting.iter().enumerate().map(waits).collect(),
        }
    }

    /// All of these are open.
    fn decide(turn: &Turn, me: &str, overlap: Overlap, open: &[&str]) -> TurnDecision {
        turn.decide(&id(me), 9, overlap, |call| open.contains(&call.as_str()))
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
    }

    #[test]
    fn a_call_that_waited_and_is_gone_is_taken_out() {
        let again = TurnDecision::Again { write: turn("a", &[]) };
        assert_eq!(decide(&turn("a", &["b"]), "me", Overlap::Queue, &["a"]), again);
    }
}
