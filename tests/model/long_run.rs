//! A call that runs long: it leaves its lane, and a schedule stands in for it.

use crate::{
    requests::ack,
    state::{Held, Place, Server, Step},
};

/// `Delivery::stand_in_until`, its first write: refused if a schedule is there, or what has come of one.
pub(crate) fn stand_in(server: &mut Server, held: &mut Held, sees_due: bool) -> Step {
    if server.delayed.is_some() || (sees_due && server.due.is_some()) {
        return Step::Run;
    }
    let sequence = server.next_sequence();
    server.delayed = Some((sequence, held.attempts));
    held.stand_in = Some(sequence);
    Step::LeaveLane
}

/// What is gone from its lane need not be acknowledged there; a backlog is left by the ack.
pub(crate) fn leave_lane(server: &mut Server, held: &Held) -> Step {
    if held.place == Place::Backlog {
        ack(server, held);
    } else if server.lane.as_ref().is_some_and(|message| message.sequence == held.sequence) {
        server.lane = None;
    }
    Step::Run
}

/// The schedule goes, if it is still the one that is known.
pub(crate) fn end(server: &mut Server, sequence: u8) {
    if server.delayed.is_some_and(|(known, _)| known == sequence) {
        server.delayed = None;
    }
}
