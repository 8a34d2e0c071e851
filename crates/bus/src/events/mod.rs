//! Events of sources: each is stored once, by its id, and a worker makes one call of it for each of its routes.
//!
//! The subject is the id, so an event that comes again is refused for as long as the first one is kept.

mod burst;
mod count;
pub(crate) mod debounce;
pub(crate) mod held;
mod last;
pub(crate) mod list;
mod replays;
pub(crate) mod samples;
mod turns;
pub(crate) mod wire;

use std::time::Duration;

use async_nats::header::NATS_MESSAGE_TTL;
use skep_protocol::Event;
use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::{
    Error, Events, Queue, Queues, Result, Submitted, calls::submit::ELECTION_TIMEOUT, client::connect::REQUEST_TIMEOUT,
    fit, publish::stalled::STORES_NOTHING,
};

/// The consumer of events that are to be routed.
pub(crate) const ROUTE: &str = "route";
/// An outage of all queue-workers this long loses no event, however short its `keep` is.
const MIN_EVENT_TTL: Duration = Duration::from_secs(24 * 3600);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_millis(500);

impl Events {
    /// Stores an event for `keep`, and at least for a day, and returns when the server has acknowledged it, and not before.
    ///
    /// [`Submitted::Duplicate`] says that an event of this id is kept already.
    pub async fn store(&self, event: &Event, keep: Duration) -> Result<Submitted> {
        let subject = self.nats.subjects.event(&event.source, &event.id);
        let mut headers = wire::event_headers(event);
        headers.insert(NATS_MESSAGE_TTL, format!("{}s", keep.max(MIN_EVENT_TTL).as_secs()));
        let body = wire::event_body(event);
        fit::check(&headers, &body, self.nats.largest_message())?;
        let unavailable = || Error::unavailable(STORES_NOTHING);
        let admitted = self.nats.stalled.admit().ok_or_else(unavailable)?;
        let patience = if self.nats.kept.replicas > 1 { ELECTION_TIMEOUT } else { REQUEST_TIMEOUT };
        let give_up = Instant::now() + patience;
        let (mut pause, mut is_first) = (FIRST_PAUSE, true);
        let stored = loop {
            match self.nats.incoming_events.store(subject.clone(), headers.clone(), body.clone()).await {
                // It was stored before, although the answer was lost.
                Ok(Submitted::Duplicate) if !is_first && self.is_stored(event).await => break Ok(Submitted::Accepted),
                Err(error @ Error::Unavailable(_)) => {
                    if Instant::now() + pause >= give_up || !self.nats.is_reachable().await {
                        break Err(error);
                    }
                    debug!(error = error.chain(), source = %event.source, "an event cannot be stored; trying again");
                }
                ended => break ended,
            }
            sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
            is_first = false;
        };
        self.nats.stalled.note(admitted, !matches!(stored, Err(Error::Unavailable(_))));
        stored
    }

    /// Whether this very event is stored, and not another one with its id.
    async fn is_stored(&self, event: &Event) -> bool {
        let known = self.get(&event.source, &event.id).await;
        known.is_ok_and(|known| known.is_some_and(|known| known.event.received_at == event.received_at))
    }
}

impl Queues {
    /// The queue of events that are to be routed.
    pub fn events(&self) -> Queue<Event> {
        let filter = self.nats.subjects.event_all();
        Queue::new(&self.nats, "EVENTS", ROUTE.to_owned(), filter, |message| {
            wire::read_event(&message.subject, wire::headers(message), message.payload.clone())
        })
    }
}
