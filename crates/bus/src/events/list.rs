//! Looking at events that are kept.

use async_nats::jetstream::message::StreamMessage;
use futures_util::future::try_join_all;
use skep_protocol::{Event, EventId, EventInfo, EventOutcome, SourceName};
use time::{Duration, OffsetDateTime};

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
/// Events are listed in windows of the stream, from the newest backwards. This is the narrowest, and the most events that one of them may have.
const WINDOW: u64 = 1000;
/// How much wider the next window is where a source has few events among those of others.
const WIDER: u64 = 8;
/// An event may bear a later time than the server that stored it, because their clocks differ.
const CLOCK_TOLERANCE: Duration = Duration::minutes(5);

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
    /// Later than it was received if it was held.
    pub stored_at: OffsetDateTime,
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

    /// What was stored before then was received too early, because an event is stored after it came.
    fn stored_since(&self) -> Option<OffsetDateTime> {
        self.since.map(|since| since.saturating_sub(CLOCK_TOLERANCE))
    }
}

impl Events {
    /// An event, if it is kept.
    pub async fn get(&self, source: &SourceName, id: &EventId) -> Result<Option<StoredEvent>> {
        let found = records::find(&self.nats.streams.events, self.nats.subjects.event(source, id)).await?;
        found.map(read_whole).transpose()
    }

    /// Events of a source that the filter admits, the newest first; before a place in the stream, if one is given.
    ///
    /// The server passes over the events of other sources. So where a source has few, windows get wider, and the way back takes few steps however long it is.
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
        let (mut budget, mut width, mut behind) = (BUDGET, WINDOW, 0);
        while end > state.first_sequence {
            let begin = end.saturating_sub(width).max(state.first_sequence);
            let subject = self.nats.subjects.events_of(source);
            let scan = Scan::begin(&self.nats.streams.events, subject, begin.saturating_sub(1)).await?;
            let left = scan.left();
            if width > WINDOW && left.saturating_sub(behind) > WINDOW {
                scan.end().await;
                width /= WIDER;
                continue;
            }
            let window = until(scan, end).await?;
            let oldest = window.first().map(|oldest| oldest.stored_at);
            let is_past = oldest.zip(filter.stored_since()).is_some_and(|(oldest, since)| oldest < since);
            budget = budget.saturating_sub(window.len() + 1);
            if (window.len() as u64) < WINDOW / WIDER {
                width *= WIDER;
            }
            for StoredEvent { event, sequence, .. } in window.into_iter().rev() {
                if filter.admits(&event) {
                    page.events.push(EventInfo::of(&event, sequence, None));
                }
                if page.events.len() >= limit {
                    page.next = Some(sequence);
                    return Ok(page);
                }
            }
            if is_past {
                break;
            }
            (end, behind) = (begin, left);
            if budget == 0 {
                page.next = Some(end);
                break;
            }
        }
        Ok(page)
    }

    /// Events of a source behind a place, the oldest first and with their bodies, at most `limit`; and the place behind the last that was looked at, if there may be more.
    pub async fn list_after(
        &self,
        source: &SourceName,
        filter: &EventFilter,
        limit: usize,
        after: u64,
    ) -> Result<(Vec<StoredEvent>, Option<u64>)> {
        let (stream, subject) = (&self.nats.streams.events, self.nats.subjects.events_of(source));
        let mut scan = match filter.stored_since() {
            Some(since) if after == 0 => Scan::since(stream, subject, since).await?,
            _ => Scan::begin(stream, subject, after).await?,
        };
        let (mut found, mut next, mut looked_at) = (Vec::new(), None, 0);
        while let Some(seen) = scan.next().await? {
            let sequence = seen.sequence;
            found.extend(read(seen).filter(|stored| filter.admits(&stored.event)));
            looked_at += 1;
            if found.len() >= limit || looked_at >= BUDGET {
                next = Some(sequence);
                break;
            }
        }
        scan.end().await;
        let whole = try_join_all(found.iter().map(|known| self.get(source, &known.event.id))).await?;
        // One that is gone meanwhile may have come again since.
        let is_known = |stored: &StoredEvent| found.iter().any(|known| known.sequence == stored.sequence);
        Ok((whole.into_iter().flatten().filter(is_known).collect(), next))
    }
}

/// Events to before a place, without their bodies. What cannot be read is passed over.
async fn until(mut scan: Scan, end: u64) -> Result<Vec<StoredEvent>> {
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

pub(super) fn read(seen: Seen) -> Option<StoredEvent> {
    let event = wire::read_event(&seen.subject, &seen.headers, seen.body).ok()?;
    Some(StoredEvent { event, sequence: seen.sequence, stored_at: seen.published })
}

/// The same of one that was asked for.
pub(super) fn read_whole(message: StreamMessage) -> Result<StoredEvent> {
    let event = wire::read_event(&message.subject, &message.headers, message.payload)
        .map_err(|reason| Error::Unreadable { subject: message.subject.to_string(), reason })?;
    Ok(StoredEvent { event, sequence: message.sequence, stored_at: message.time })
}
