//! The newest events of a source, and those that come.

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use futures_util::{Stream, StreamExt};
use skep_protocol::{EventId, EventInfo, SourceName, Verified};
use time::OffsetDateTime;

use super::list::{EventFilter, StoredEvent, read, read_whole};
use crate::{
    Error, Events, Result,
    calls::{records, scan::Scan},
};

/// Events that may be late, one behind the other, that are looked at at once, and at most.
const LATE_AT_ONCE: usize = 100;
const MAX_LATE: usize = 1000;

impl Events {
    /// When the newest event of a source came, as far as one is kept.
    ///
    /// What was held came long before it was stored, and so did a time of the past that a schedule was asked for; so the last one that was stored may not be the newest.
    pub async fn newest(&self, source: &SourceName) -> Result<Option<OffsetDateTime>> {
        let Some(last) = self.last(source).await? else { return Ok(None) };
        let (mut newest, mut next) = (last.event.received_at, Some(last.sequence));
        let is_schedule = last.event.occurrence.is_some();
        // Only the ids of what somebody asked for have a hyphen.
        let may_be_late = |was_held: bool, id: &EventId| was_held || is_schedule && id.as_str().contains('-');
        if !may_be_late(last.event.verified.by.was_held(), &last.event.id) {
            return Ok(Some(newest));
        }
        let mut looked_at = 0;
        while let Some(before) = next.filter(|_| looked_at < MAX_LATE) {
            let page = Box::pin(self.list(source, &EventFilter::default(), LATE_AT_ONCE, Some(before))).await?;
            for event in &page.events {
                newest = newest.max(event.received_at);
                if !may_be_late(was_held(event), &event.id) {
                    return Ok(Some(newest));
                }
            }
            looked_at += LATE_AT_ONCE;
            next = page.next;
        }
        Ok(Some(newest))
    }

    /// The event of a source that was stored last, without its body, as far as one is kept.
    async fn last(&self, source: &SourceName) -> Result<Option<StoredEvent>> {
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
    pub async fn next_after(&self, source: &SourceName, mut after: u64) -> Result<Option<StoredEvent>> {
        let subject = self.nats.subjects.events_of(source);
        loop {
            let found = records::find_after(&self.nats.streams.events, subject.clone(), after).await?;
            let Some(message) = found else { return Ok(None) };
            after = message.sequence;
            // One that cannot be read is passed over.
            if let Ok(event) = read_whole(message) {
                return Ok(Some(event));
            }
        }
    }

    /// Says each time that an event of a source may have been stored; it may also be a duplicate.
    pub async fn published(&self, source: &SourceName) -> Result<impl Stream<Item = ()> + Send + use<>> {
        let events =
            self.nats.client.subscribe(self.nats.subjects.events_of(source)).await.map_err(Error::unavailable)?;
        self.nats.client.flush().await.map_err(Error::unavailable)?;
        Ok(events.map(|_| ()))
    }
}

fn was_held(event: &EventInfo) -> bool {
    event.verified.parse::<Verified>().is_ok_and(|verified| verified.by.was_held())
}
