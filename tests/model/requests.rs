//! What requests to the server, and the server itself, do to what is kept. What is written is decided by the bus's own functions.

use skep_bus::life::{NextMove, Target, There, next_move};

use crate::state::{Held, Message, Place, Progress, Server, Step};

/// The server hands a message out again.
pub(crate) fn give_back(server: &mut Server, place: Place, sequence: u8) {
    if let Some(message) = server.message(place)
        && message.sequence == sequence
        && !message.is_acked
    {
        (message.is_out, message.is_repeated) = (false, true);
    }
}

/// The schedule fires: the message moves to the subject that the workers read.
pub(crate) fn becomes_due(server: &mut Server) {
    let Some((_, progress)) = server.parked.take() else { return };
    let sequence = server.next_sequence();
    let is_repeated = server.due.is_some();
    server.due = Some(Message { sequence, progress, is_out: false, is_acked: false, is_repeated });
}

/// `Queues::relocate` to where a call is parked, what it looks at before it writes.
pub(crate) fn look_before_parking(server: &Server, progress: Progress) -> Step {
    let elsewhere = [Place::Lane, Place::Bulk, Place::Backlog, Place::Due].map(|place| server.progress_in(place));
    let there = server.parked.map(|(sequence, progress)| There {
        sequence: sequence.into(),
        progress: progress.into(),
        is_older: false,
    });
    let target =
        Target { has_record: server.record.is_some(), elsewhere: elsewhere.into_iter().max().flatten(), there };
    match next_move(progress.into(), true, &target) {
        NextMove::Done => Step::Ack,
        NextMove::Write { expected } => Step::ParkPut { expected: small(expected) },
        NextMove::Remove { .. } => unreachable!("a parked message is replaced"),
    }
}

/// `Connection::park`: refused if the subject has changed since the look.
pub(crate) fn park(server: &mut Server, expected: u8, progress: Progress) -> Step {
    if server.parked.map_or(0, |(sequence, _)| sequence) != expected {
        return Step::ParkLook;
    }
    let sequence = server.next_sequence();
    server.parked = Some((sequence, progress));
    Step::Ack
}

/// `Queues::relocate` to the backlog.
pub(crate) fn overflow(server: &mut Server, progress: Progress) -> Step {
    match next_move(progress.into(), false, &target(server.backlog.as_ref(), |_| false)) {
        NextMove::Done => Step::Ack,
        NextMove::Remove { sequence } => Step::RemoveBacklogged { sequence: small(sequence) },
        NextMove::Write { .. } => {
            server.put(Place::Backlog, progress, false);
            Step::Ack
        }
    }
}

/// `Queues::relocate` of a message that is due to its lane.
pub(crate) fn return_to_lane(server: &mut Server, progress: Progress, moved_since: u8) -> Step {
    let target = target(server.lane.as_ref(), |message| message.sequence < moved_since);
    match next_move(progress.into(), false, &target) {
        NextMove::Done => Step::Ack,
        NextMove::Remove { sequence } => Step::RemoveQueued { sequence: small(sequence) },
        NextMove::Write { .. } => {
            server.put(Place::Lane, progress, true);
            Step::Ack
        }
    }
}

fn target(there: Option<&Message>, is_older: impl Fn(&Message) -> bool) -> Target {
    let there = there.map(|message| There {
        sequence: message.sequence.into(),
        progress: message.progress.into(),
        is_older: is_older(message),
    });
    Target { there, ..Target::default() }
}

fn small(sequence: u64) -> u8 {
    u8::try_from(sequence).unwrap()
}

/// An ack of a message that is gone, or was replaced, does nothing.
pub(crate) fn ack(server: &mut Server, held: &Held) {
    if let Some(message) = server.message(held.place)
        && message.sequence == held.sequence
    {
        message.is_acked = true;
    }
    // Work queues: what is finished is gone.
    for queue in [&mut server.backlog, &mut server.due] {
        queue.take_if(|message| message.is_acked);
    }
}
