//! Looking at events that are kept.

use skep_protocol::{Event, EventId, EventInfo, EventOutcome, SourceName};
use time::OffsetDateTime;

use crate::{
    Error, Events, Result,
    calls::{
        records,
        scan::{Scan, Seen},
    },
    events::wire,
};

/// The most events that one page looks at.
const BUDGET: usize = 20_000;
/// Events are listed in windows, from the newest backwards.
const WINDOW: u64 = 1000;

/// Which events are meant.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Received then or later.
    pub since: Option<OffsetDateTime>,
    /// Received before then.
    pub until: Option<OffsetDateTime>,
    pub kind: Option<String>,
    pub outcome: Option<EventOutcome>,
    /// The name of a route that they took.
    pub route: Option<String>,
}

/// An event and its place in the stream.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    pub event: Event,
    pub sequence: u64,
}

/// A part of the events of a source, the newest first.
#[derive(Debug, Default)]
pub struct EventPage {
    pub events: Vec<EventInfo>,
    /// The next part has the events before this place, if there may be any.
    pub next: Option<u64>,
}

impl EventFilter {
    pub fn admits(&self, event: &Event) -> bool {
        self.since.is_none_or(|since| event.received_at >= since)
            && self.until.is_none_or(|until| event.received_at < until)
            && self.kind.as_ref().is_none_or(|kind| *kind == event.kind)
            && self.outcome.is_none_or(|outcome| outcome == event.decision.outcome())
            && self
                .route
                .as_ref()
                .is_none_or(|wanted| event.decision.routes.iter().any(|route| route.route.as_str() == wanted.as_str()))
    }
}

impl Events {
    /// An event, if it is kept.
    pub async fn get(&self, source: &SourceName, id: &EventId) -> Result<Option<StoredEvent>> {
        let found = records::find(&self.nats.streams.events, self.nats.subjects.event(source, id)).await?;
        let Some(message) = found else { return Ok(None) };
        let event = wire::read_event(&message.subject, &message.headers, message.payload)
            .map_err(|reason| Error::Unreadable { subject: message.subject.to_string(), reason })?;
        Ok(Some(StoredEvent { event, sequence: message.sequence }))
    }

    /// Events of a source that the filter admits, the newest first; before a place in the stream, if one is given.
    pub async fn list(
        &self,
        source: &SourceName,
        filter: &EventFilter,
        limit: usize,
        before: Option<u64>,
    ) -> Result<EventPage> {
        let state = self.nats.streams.events.get_info().await.map_err(Error::unavailable)?.state;
        let mut page = EventPage::default();
        let mut end = before.unwrap_or(u64::MAX).min(state.last_sequence.saturating_add(1));
        let mut budget = BUDGET;
        while end > state.first_sequence {
            let begin = end.saturating_sub(WINDOW).max(state.first_sequence);
            let window = self.events_between(source, begin, end).await?;
            budget = budget.saturating_sub(window.len() + 1);
            for StoredEvent { event, sequence } in window.into_iter().rev() {
                if filter.admits(&event) {
                    page.events.push(EventInfo::of(&event, sequence, None));
                }
                if page.events.len() >= limit {
                    page.next = Some(sequence);
                    return Ok(page);
                }
            }
            end = begin;
            if budget == 0 {
                page.next = Some(end);
                break;
            }
        }
        Ok(page)
    }

    /// Events without their bodies, from one place to before another one. What cannot be read is passed over.
    async fn events_between(&self, source: &SourceName, begin: u64, end: u64) -> Result<Vec<StoredEvent>> {
        let subject = self.nats.subjects.events_of(source);
        let mut scan = Scan::begin(&self.nats.streams.events, subject, begin.saturating_sub(1)).await?;
        let mut events = Vec::new();
        while let Some(seen) = scan.next().await? {
            let sequence = seen.sequence;
            if sequence < end {
                events.extend(read(seen));
            }
            if sequence + 1 >= end {
                break;
            }
        }
        scan.end().await;
        Ok(events)
    }

    /// Events of a source behind a place, the oldest first and with their bodies, at most `limit`; and the place behind the last that was looked at, if there are more.
    pub async fn list_after(
        &self,
        source: &SourceName,
        filter: &EventFilter,
        limit: usize,
        after: u64,
    ) -> Result<(Vec<StoredEvent>, Option<u64>)> {
        let subject = self.nats.subjects.events_of(source);
        let mut scan = Scan::with_bodies(&self.nats.streams.events, subject, after).await?;
        let (mut events, mut next) = (Vec::new(), None);
        while let Some(seen) = scan.next().await? {
            let sequence = seen.sequence;
            events.extend(read(seen).filter(|stored| filter.admits(&stored.event)));
            if events.len() >= limit {
                next = Some(sequence);
                break;
            }
        }
        scan.end().await;
        Ok((events, next))
    }
}

pub(super) fn read(seen: Seen) -> Option<StoredEvent> {
    let event = wire::read_event(&seen.subject, &seen.headers, seen.body).ok()?;
    Some(StoredEvent { event, sequence: seen.sequence })
}
