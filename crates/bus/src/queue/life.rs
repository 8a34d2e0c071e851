//! The decisions in the life of a call, without any I/O: whether a delivery runs, and what a move writes.
//!
//! The bus and the model in `tests/model` use the same functions, so the model checks what the code decides.
//!
//! A call is in one of these places: its event, a shared lane, the backlog of its function, or parked until a time; then it is finished.
//! To move, it is written to its next place first, and then removed from the last one.
//! So it can be in two places for a moment, and a crash can leave it there; these functions tell which of the two counts.

/// How far a call has come. Where two of its messages meet, the greater one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Progress {
    /// Attempts that have ended.
    pub attempts: u64,
    /// How often the next attempt was begun and came to no end.
    pub interruptions: u64,
}

/// Where a delivery of a call comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The event that it is a call of. It stays there only until it has ended, or is stored elsewhere.
    Event,
    /// A lane that many functions share.
    Shared,
    /// The backlog of a function that cannot keep up.
    Backlog,
}

/// What a worker has found out about a call that was delivered to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// The call has its record: it has ended.
    pub has_record: bool,
    /// The message in the backlog of its function.
    pub backlog: Option<Progress>,
    /// The furthest of its other messages: in its lane, parked, or due.
    pub elsewhere: Option<Progress>,
}

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    Run,
    /// The call has ended; the delivery is acknowledged.
    Finished,
    /// Another message of the call counts; the delivery is acknowledged.
    Superseded,
}

/// Decides about a delivery that nobody else holds.
pub fn next_step(origin: Origin, delivered: Progress, found: &Found) -> NextStep {
    if found.has_record {
        return NextStep::Finished;
    }
    let furthest = found.backlog.max(found.elsewhere);
    // What is in the backlog has left the lane, and what is anywhere has left its event; only the ack was lost.
    let has_left = match origin {
        Origin::Event => furthest.is_some(),
        Origin::Shared => found.backlog.is_some_and(|own| own >= delivered),
        Origin::Backlog => false,
    };
    let is_further = furthest.is_some_and(|other| other > delivered);
    if has_left || is_further { NextStep::Superseded } else { NextStep::Run }
}

/// What a move finds before it writes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Target {
    pub has_record: bool,
    /// The furthest message of the call that is neither the one that moves nor the one at the target.
    pub elsewhere: Option<Progress>,
    /// What is at the target's subject already.
    pub there: Option<There>,
}

/// A message that is where a call is to be moved.
#[derive(Clone, Copy, Debug)]
pub struct There {
    pub sequence: u64,
    pub progress: Progress,
    /// Whether it is older than the message that moves; then it cannot be a copy that an earlier try of the same move has written.
    pub is_older: bool,
}

/// The next request of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextMove {
    /// Write the call, if the subject's last message is still this one; 0 means that it has none.
    Write { expected: u64 },
    /// Remove what an earlier attempt has left there, and look again.
    Remove { sequence: u64 },
    /// The call is there already, is further along, or has ended: nothing is written.
    Done,
}

/// Decides what a move does next. `replaces` tells whether a write to the target replaces what is there.
pub fn next_move(moved: Progress, replaces: bool, target: &Target) -> NextMove {
    if target.has_record || target.elsewhere.is_some_and(|other| other >= moved) {
        return NextMove::Done;
    }
    match target.there {
        None => NextMove::Write { expected: 0 },
        Some(there) if there.progress > moved || (there.progress == moved && !there.is_older) => NextMove::Done,
        Some(there) if replaces => NextMove::Write { expected: there.sequence },
        Some(there) => NextMove::Remove { sequence: there.sequence },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn after(attempts: u64) -> Progress {
        Progress { attempts, interruptions: 0 }
    }

    #[test]
    fn a_delivery_runs_unless_its_call_has_ended_or_is_further_elsewhere() {
        let step = |origin, found: Found| next_step(origin, after(1), &found);
        assert_eq!(step(Origin::Shared, Found::default()), NextStep::Run);
        assert_eq!(step(Origin::Shared, Found { has_record: true, ..Found::default() }), NextStep::Finished);
        for (elsewhere, expected) in [(0, NextStep::Run), (1, NextStep::Run), (2, NextStep::Superseded)] {
            assert_eq!(
                step(Origin::Backlog, Found { elsewhere: Some(after(elsewhere)), ..Found::default() }),
                expected
            );
        }
        let moved = Found { backlog: Some(after(1)), ..Found::default() };
        assert_eq!(step(Origin::Shared, moved), NextStep::Superseded, "it has left its lane");
        assert_eq!(step(Origin::Backlog, moved), NextStep::Run, "this is its own message");
        for left in [after(0), after(1)] {
            assert_eq!(step(Origin::Event, Found { elsewhere: Some(left), ..Found::default() }), NextStep::Superseded);
        }
        let leased = Found { elsewhere: Some(Progress { attempts: 1, interruptions: 1 }), ..Found::default() };
        assert_eq!(step(Origin::Shared, leased), NextStep::Superseded, "someone else has begun it");
    }

    #[test]
    fn a_move_writes_once_and_never_over_something_further() {
        let there = |attempts, is_older| Some(There { sequence: 7, progress: after(attempts), is_older });
        for (target, replaced, otherwise) in [
            (None, NextMove::Write { expected: 0 }, NextMove::Write { expected: 0 }),
            (there(0, true), NextMove::Write { expected: 7 }, NextMove::Remove { sequence: 7 }),
            (there(1, true), NextMove::Write { expected: 7 }, NextMove::Remove { sequence: 7 }),
            (there(1, false), NextMove::Done, NextMove::Done),
            (there(2, true), NextMove::Done, NextMove::Done),
        ] {
            let target = Target { there: target, ..Target::default() };
            assert_eq!(next_move(after(1), true, &target), replaced, "{target:?}");
            assert_eq!(next_move(after(1), false, &target), otherwise, "{target:?}");
        }
        for target in [
            Target { has_record: true, ..Target::default() },
            Target { elsewhere: Some(after(1)), ..Target::default() },
        ] {
            assert_eq!(next_move(after(1), true, &target), NextMove::Done);
        }
    }
}
