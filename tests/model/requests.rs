//! What requests to the server, and the server itself, do to what is kept.

use crate::state::{Held, Message, Place, Server, Step};

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
    let Some((_, attempts)) = server.delayed.take() else { return };
    let sequence = server.next_sequence();
    let is_repeated = server.due.is_some();
    server.due = Some(Message { sequence, attempts, is_out: false, is_acked: false, is_repeated });
}

/// `Bus::delay`, what it looks at before it writes.
pub(crate) fn look_before_delay(server: &Server, attempts: u8) -> Step {
    let is_further = |message: &Option<Message>| message.as_ref().is_some_and(|message| message.attempts >= attempts);
    let queued = is_further(&server.lane) || is_further(&server.backlog);
    let delayed = server.waiting().is_some_and(|waiting| waiting >= attempts);
    if server.record.is_some() || queued || delayed {
        return Step::Ack;
    }
    Step::DelayPut { known: server.delayed.map_or(0, |(sequence, _)| sequence) }
}

/// `Bus::delay`, the write: refused if the subject has changed since the look.
pub(crate) fn put_delayed(server: &mut Server, known: u8, attempts: u8) -> Step {
    if server.delayed.map_or(0, |(sequence, _)| sequence) != known {
        return Step::DelayLook;
    }
    let sequence = server.next_sequence();
    server.delayed = Some((sequence, attempts));
    Step::Ack
}

/// `Bus::set_aside`: a message that is there with as many attempts is the same one.
pub(crate) fn set_aside(server: &mut Server, attempts: u8) -> Step {
    match &server.backlog {
        Some(message) if message.attempts < attempts => Step::RemoveSetAside { sequence: message.sequence },
        Some(_) => Step::Ack,
        None => {
            let sequence = server.next_sequence();
            server.backlog = Some(Message { sequence, attempts, is_out: false, is_acked: false, is_repeated: false });
            Step::Ack
        }
    }
}

/// `Bus::requeue` of a message that is due.
pub(crate) fn requeue(server: &mut Server, attempts: u8, sequence: u8) -> Step {
    if server.put_in_lane(attempts, true) {
        return Step::Ack;
    }
    match &server.lane {
        // What is older than the message that is due is not that message.
        Some(message) if (message.attempts, message.sequence) < (attempts, sequence) => {
            Step::RemoveQueued { sequence: message.sequence }
        }
        Some(_) | None => Step::Ack,
    }
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
