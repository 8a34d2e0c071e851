//! A model of a call's life, explored exhaustively: accepted, delivered, run, tried again, recorded, buried, cancelled, with crashes anywhere.
//!
//! It follows `skep-bus` and the queue-worker step by step, each step of the model one request to the server.
//! What must always hold are the first three invariants of ARCHITECTURE.md; ways to do it wrong must be caught, or the model shows nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

mod call;
mod flaw;
mod long_run;
mod requests;
mod state;

use stateright::{Checker, HasDiscoveries, Model};

use call::{Call, KEPT, LETTER, NOT_STUCK, ONE_RECORD, ONE_RUN};
use flaw::Flaw;
use state::Budget;

/// All that goes wrong, in any order, while the function keeps up.
const TROUBLE: Budget =
    Budget { submits: 2, cancels: 1, crashes: 2, stalls: 1, lost_acks: 1, set_aside: 0, long_runs: 0 };
/// The same with less of each, while it does not.
const BACKLOG: Budget =
    Budget { submits: 1, cancels: 1, crashes: 1, stalls: 1, lost_acks: 0, set_aside: 2, long_runs: 0 };
/// A run that takes long.
const LONG_RUN: Budget =
    Budget { submits: 1, cancels: 1, crashes: 2, stalls: 1, lost_acks: 0, set_aside: 0, long_runs: 1 };

fn check(flaw: Flaw, budget: Budget, until: HasDiscoveries) -> impl Checker<Call> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Call { flaw, budget }.checker().threads(threads).finish_when(until).spawn_bfs().join()
}

#[test]
fn no_order_of_steps_and_crashes_loses_or_doubles_a_call() {
    check(Flaw::None, TROUBLE, HasDiscoveries::AnyFailures).assert_properties();
}

#[test]
fn no_order_of_steps_loses_or_doubles_a_call_that_is_set_aside() {
    check(Flaw::None, BACKLOG, HasDiscoveries::AnyFailures).assert_properties();
}

#[test]
fn no_order_of_steps_loses_or_doubles_a_call_that_runs_long() {
    let long = check(Flaw::None, LONG_RUN, HasDiscoveries::AnyFailures);
    for property in [KEPT, ONE_RECORD, LETTER, ONE_RUN, NOT_STUCK] {
        long.assert_no_discovery(property);
    }
}

#[test]
fn every_way_to_do_it_wrong_is_caught() {
    for (flaw, budget, property) in [
        (Flaw::AnswerBeforeStored, TROUBLE, KEPT),
        (Flaw::AckBeforeRecord, TROUBLE, KEPT),
        (Flaw::AckBeforeDelay, TROUBLE, KEPT),
        (Flaw::AckBeforeSetAside, BACKLOG, KEPT),
        (Flaw::DueIsForgotten, TROUBLE, KEPT),
        (Flaw::RecordBeforeLetter, TROUBLE, LETTER),
        (Flaw::RecordsAreReplaced, TROUBLE, ONE_RECORD),
        (Flaw::NoLookUp, TROUBLE, ONE_RUN),
        (Flaw::OlderIsTaken, LONG_RUN, KEPT),
        (Flaw::DueIsOverlooked, LONG_RUN, KEPT),
    ] {
        let until = HasDiscoveries::AnyOf([property].into());
        let found = check(flaw, budget, until).discovery(property);
        assert!(found.is_some(), "{flaw:?} is not caught by: {property}");
    }
}
