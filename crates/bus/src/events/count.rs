//! How much is kept of a source.

use skep_protocol::{EventId, SourceCounts, SourceName};
use tokio::try_join;

use crate::{Events, Result, queue::depth::count_of};

impl Events {
    /// How many events of a source are kept, how many of them came again, and how many requests it could not verify.
    pub async fn counts(&self, source: &SourceName) -> Result<SourceCounts> {
        let subjects = &self.nats.subjects;
        let (events, duplicates) = (subjects.events_of(source), subjects.duplicates(source));
        let (refused, held) = (subjects.refused(source), subjects.held(source));
        let (events, duplicates, refused, held) = try_join!(
            count_of(&self.nats, "EVENTS", &events),
            count_of(&self.nats, "DUPLICATES", &duplicates),
            count_of(&self.nats, "REFUSED", &refused),
            count_of(&self.nats, "HELD", &held),
        )?;
        Ok(SourceCounts { events: events.0, duplicates: duplicates.0, refused: refused.0, held: held.0, newest: None })
    }

    /// Notes that an event has come again. Nobody waits for that, and a note that is lost is one too few.
    pub async fn note_duplicate(&self, source: &SourceName, id: &EventId) {
        let subject = self.nats.subjects.duplicates(source);
        let _ = self.nats.client.publish(subject, id.to_string().into()).await;
    }
}
