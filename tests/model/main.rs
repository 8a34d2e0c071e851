//! A model of a call's life, explored exhaustively: accepted, delivered, run, tried again, recorded, dead-lettered, cancelled, with crashes anywhere.
//!
//! It follows `skep-bus` and the queue-worker step by step, each step of the model one request to the server.
//! What they decide is decided by the same functions, those of `skep_bus::life`.
//! What must always hold are the first three invariants of ARCHITECTURE.md; ways to do it wrong must be caught, or the model shows nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

mod call;
mod doubt;
mod flaw;
mod long_run;
mod requests;
mod state;
mod work;

use stateright::{Checker, HasDiscoveries, Model};

use call::{Call, DEAD_LETTER, ENDS, KEPT, NOT_STUCK, ONE_AT_A_TIME, ONE_RECORD, ONE_RUN, TWO_AT_ONCE};
use flaw::Flaw;
use state::{Budget, Place};

const NOTHING: Budget = Budget {
    submits: 1,
    entries: &[Place::Lane, Place::Bulk, Place::Backlog],
    lost_answers: 0,
    cancels: 0,
    crashes: 0,
    stalls: 0,
    unanswered: 0,
    lost_acks: 0,
    lost_removals: 0,
    overflow: 0,
    long_runs: 0,
};
/// `Calls::entry`: an id that may come again has one place. Also where another one would show nothing new.
const ONE_LANE: &[Place] = &[Place::Lane];
/// What runs long leaves them.
const LANES: &[Place] = &[Place::Lane, Place::Bulk];
/// All that goes wrong, in any order, while the function keeps up.
const TROUBLE: Budget =
    Budget { submits: 2, entries: ONE_LANE, cancels: 1, crashes: 2, stalls: 1, lost_acks: 1, ..NOTHING };
/// A new id, stored first in its lane, in one for hot functions or in a backlog, by a gateway that may try again.
const ENTRIES: Budget = Budget { lost_answers: 1, cancels: 1, crashes: 1, stalls: 1, lost_acks: 1, ..NOTHING };
/// Deliveries that come again while their workers live on, and workers that do not answer.
const DOUBT: Budget = Budget { entries: ONE_LANE, crashes: 1, stalls: 2, unanswered: 1, lost_acks: 1, ..NOTHING };
/// A function that does not keep up.
const BACKLOG: Budget = Budget { cancels: 1, crashes: 1, stalls: 1, overflow: 2, ..NOTHING };
/// A run that takes long.
const LONG_RUN: Budget =
    Budget { entries: LANES, cancels: 1, crashes: 1, stalls: 1, lost_removals: 1, long_runs: 1, ..NOTHING };
/// The same with a worker that does not answer.
const LONG_DOUBT: Budget = Budget { entries: ONE_LANE, crashes: 1, stalls: 1, unanswered: 1, long_runs: 1, ..NOTHING };
/// Enough trouble to see what is wrong with a lease; exploring all of it takes minutes.
const WRONG_LEASE: Budget = Budget { entries: ONE_LANE, crashes: 2, unanswered: 1, ..LONG_RUN };

/// A call of an event that may run straight from it.
const EVENT: Budget = Budget { entries: &[Place::Event], cancels: 1, crashes: 1, stalls: 1, lost_acks: 1, ..NOTHING };
/// One that finds no slot, or is given back.
const EVENT_WAITS: Budget = Budget { cancels: 0, lost_acks: 0, overflow: 1, ..EVENT };
/// One that runs long.
const LONG_EVENT: Budget = Budget { lost_acks: 0, long_runs: 1, ..EVENT };
/// One that waits for a slot for long.
const LONG_WAIT: Budget =
    Budget { entries: &[Place::Event, Place::Lane], crashes: 1, overflow: 1, long_runs: 1, ..NOTHING };
/// A call that is given back twice, and a server that has its message again.
const GIVEN_BACK: Budget = Budget { long_runs: 2, lost_removals: 1, ..NOTHING };

fn check(flaw: Flaw, budget: Budget, until: HasDiscoveries) -> impl Checker<Call> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Call { flaw, budget }.checker().threads(threads).finish_when(until).spawn_bfs().join()
}

/// Explores everything that can happen within the budget.
fn nothing_is_lost_or_doubled(budget: Budget) -> impl Checker<Call> {
    let explored = check(Flaw::None, budget, HasDiscoveries::AnyFailures);
    for property in [KEPT, ONE_RECORD, DEAD_LETTER, ONE_RUN, ONE_AT_A_TIME, NOT_STUCK] {
        explored.assert_no_discovery(property);
    }
    explored
}

#[test]
fn no_order_of_steps_and_crashes_loses_or_doubles_a_call() {
    let explored = nothing_is_lost_or_doubled(TROUBLE);
    for end in ENDS {
        explored.assert_any_discovery(end);
    }
}

#[test]
fn no_order_of_steps_loses_or_doubles_a_call_wherever_it_is_stored_first() {
    nothing_is_lost_or_doubled(ENTRIES);
}

#[test]
fn no_order_of_steps_doubles_a_call_that_is_delivered_again_and_again() {
    nothing_is_lost_or_doubled(DOUBT).assert_any_discovery(TWO_AT_ONCE);
}

#[test]
fn no_order_of_steps_loses_or_doubles_a_call_of_an_event() {
    for budget in [EVENT, EVENT_WAITS, LONG_EVENT, LONG_WAIT] {
        nothing_is_lost_or_doubled(budget);
    }
}

#[test]
fn no_order_of_steps_loses_or_doubles_a_call_that_is_set_aside() {
    nothing_is_lost_or_doubled(BACKLOG);
}

#[test]
fn no_order_of_steps_loses_or_doubles_a_call_that_runs_long() {
    for budget in [LONG_RUN, LONG_DOUBT, GIVEN_BACK] {
        nothing_is_lost_or_doubled(budget);
    }
}

#[test]
fn every_way_to_do_it_wrong_is_caught() {
    for (flaw, budget, property) in [
        (Flaw::AnswerBeforeStored, TROUBLE, KEPT),
        (Flaw::AckBeforeRecord, TROUBLE, KEPT),
        (Flaw::AckBeforeDelay, TROUBLE, KEPT),
        (Flaw::AckBeforeOverflow, BACKLOG, KEPT),
        (Flaw::DueIsForgotten, TROUBLE, KEPT),
        (Flaw::TriedAgainBlindly, ENTRIES, ONE_RUN),
        (Flaw::EventIsAckedFirst, EVENT, KEPT),
        (Flaw::LeaseBeforeLook, LONG_EVENT, KEPT),
        (Flaw::NobodyIsAsked, EVENT, ONE_AT_A_TIME),
        (Flaw::RecordBeforeDeadLetter, TROUBLE, DEAD_LETTER),
        (Flaw::RecordsAreReplaced, TROUBLE, ONE_RECORD),
        (Flaw::NoLookUp, TROUBLE, ONE_RUN),
        (Flaw::NobodyIsAsked, DOUBT, ONE_AT_A_TIME),
        (Flaw::NobodyIsAsked, DOUBT, ONE_RUN),
        (Flaw::NobodyYields, DOUBT, ONE_AT_A_TIME),
        (Flaw::OlderIsTaken, GIVEN_BACK, KEPT),
        (Flaw::DueIsOverlooked, WRONG_LEASE, KEPT),
    ] {
        let until = HasDiscoveries::AnyOf([property].into());
        let found = check(flaw, budget, until).discovery(property);
        assert!(found.is_some(), "{flaw:?} is not caught by: {property}");
    }
}
