//! The newest events of a source, and those that come.

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use futures_util::{Stream, StreamExt};
use skep_protocol::SourceName;

use super::{
    list::{StoredEvent, read},
    wire,
};
use crate::{
    Error, Events, Result,
    calls::{records, scan::Scan},
};

impl Events {
    /// The event of a source that was stored last, without its body, as far as one is kept.
    pub async fn last(&self, source: &SourceName) -> Result<Option<StoredEvent>> {
        let config = pull::OrderedConfig {
            filter_subject: self.nats.subjects.events_of(source),
            deliver_policy: DeliverPolicy::Last,
            headers_only: true,
            ..pull::OrderedConfig::default()
        };
        let mut scan = Scan::open(&self.nats.streams.events, config, 0).await?;
        let last = scan.next().await?;
        scan.end().await;
        Ok(last.and_then(read))
    }

    /// The place of the last event of all sources.
    pub async fn last_place(&self) -> Result<u64> {
        Ok(self.nats.streams.events.get_info().await.map_err(Error::unavailable)?.state.last_sequence)
    }

    /// The first event of a source behind a place, with its body.
    pub async fn next_after(&self, source: &SourceName, after: u64) -> Result<Option<StoredEvent>> {
        let found = records::find_after(&self.nats.streams.events, self.nats.subjects.events_of(source), after).await?;
        let Some(message) = found else { return Ok(None) };
        let event = wire::read_event(&message.subject, &message.headers, message.payload)
            .map_err(|reason| Error::Unreadable { subject: message.subject.to_string(), reason })?;
        Ok(Some(StoredEvent { event, sequence: message.sequence }))
    }

    /// Says each time that an event of a source may have been stored; it may also be a duplicate.
    pub async fn published(&self, source: &SourceName) -> Result<impl Stream<Item = ()> + Send + use<>> {
        let events =
            self.nats.client.subscribe(self.nats.subjects.events_of(source)).await.map_err(Error::unavailable)?;
        self.nats.client.flush().await.map_err(Error::unavailable)?;
        Ok(events.map(|_| ()))
    }
}
