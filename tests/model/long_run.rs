//! A call that runs long: it leaves its lane, and a parked lease stands for it.

use crate::{
    requests::ack,
    state::{Held, Message, Place, Progress, Server},
};

/// `Delivery::lease`, its first write; `false` if it is refused, because the call is parked, or due.
pub(crate) fn lease(server: &mut Server, held: &mut Held, progress: Progress, sees_due: bool) -> bool {
    if server.parked.is_some() || (sees_due && server.due.is_some()) {
        return false;
    }
    let sequence = server.next_sequence();
    server.parked = Some((sequence, progress));
    held.lease = Some(sequence);
    true
}

/// What is gone from its lane need not be acknowledged there; the ack removes it from a backlog, and is all that there is to do for an event.
pub(crate) fn leave_lane(server: &mut Server, held: &Held) {
    if matches!(held.place, Place::Backlog | Place::Event) {
        ack(server, held);
    } else if let Some(message) = server.message(held.place).take_if(|message| message.sequence == held.sequence) {
        server.removed = Some((held.place, Message { is_acked: true, ..message }));
    }
}

/// The lease goes, if it is still the one that is known.
pub(crate) fn end(server: &mut Server, sequence: u8) {
    if server.parked.is_some_and(|(known, _)| known == sequence) {
        server.parked = None;
    }
}
