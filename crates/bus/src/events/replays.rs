//! Which calls replays have made of an event: one note per call, so that the next replay knows what became of it.

use async_nats::{HeaderMap as NatsHeaders, jetstream::message::StreamMessage};
use skep_protocol::{CallOfEvent, Event, EventId, EventReplay, SourceName};
use time::OffsetDateTime;

use crate::{
    Error, Events, Result,
    calls::records,
    wire::{self, CALL_ID, FUNCTION, Unreadable},
};

const RECEIVED: &str = "Skep-Received";
const ROUTE: &str = "Skep-Route";
const REPLAY: &str = "Skep-Replay";

impl Events {
    /// Notes a call that a replay has made of an event; one that is known stays as it is.
    pub async fn note_replay(&self, event: &Event, replay: &str, call: &CallOfEvent) -> Result<()> {
        let mut headers = NatsHeaders::new();
        wire::add_version(&mut headers);
        headers.insert(RECEIVED, wire::timestamp(event.received_at));
        headers.insert(REPLAY, replay);
        headers.insert(ROUTE, call.route.as_str());
        headers.insert(FUNCTION, call.function.to_string());
        headers.insert(CALL_ID, call.call_id.as_str());
        let subject = self.nats.subjects.replayed_call(&event.source, &event.id, &call.call_id);
        self.nats.publish_once(subject, headers, bytes::Bytes::new()).await.map(drop)
    }

    /// The calls that replays have made of an event that was received then, the oldest first.
    pub async fn replays(
        &self,
        source: &SourceName,
        id: &EventId,
        received_at: OffsetDateTime,
    ) -> Result<Vec<EventReplay>> {
        let (mut replays, mut after) = (Vec::new(), 0);
        let subject = self.nats.subjects.replayed_calls_of(source, id);
        // A replica that is behind would show less than there is.
        while let Some(message) =
            records::find_after_at_leader(&self.nats.streams.replays, subject.clone(), after).await?
        {
            after = message.sequence;
            let unreadable = |reason| Error::Unreadable { subject: message.subject.to_string(), reason };
            // An id may come again when its event is no longer kept; that is another event.
            if wire::read_timestamp(&message.headers, RECEIVED).map_err(unreadable)? == received_at {
                replays.push(read(&message).map_err(unreadable)?);
            }
        }
        Ok(replays)
    }
}

fn read(message: &StreamMessage) -> Result<EventReplay, Unreadable> {
    let headers = &message.headers;
    wire::check_version(headers)?;
    Ok(EventReplay {
        replay: wire::text(headers, REPLAY).unwrap_or_default().to_owned(),
        at: message.time,
        call: CallOfEvent {
            route: wire::parsed(headers, ROUTE)?,
            function: wire::parsed(headers, FUNCTION)?,
            call_id: wire::parsed(headers, CALL_ID)?,
            state: None,
        },
    })
}
