//! Events of sources in the audit: each route that a routed event takes has its call.

use async_nats::jetstream::context::ConsumerInfoErrorKind;
use bytes::Bytes;
use skep_protocol::{AuditedEvent, Event, EventOutcome, SourceLedger};
use time::OffsetDateTime;

use super::Walk;
use crate::{
    Audit, Error, Result,
    events::{ROUTE, wire},
};

/// The most calls of events that are looked up again because they have no receipt.
const MAX_DOUBTS: usize = 10_000;

impl Audit {
    /// Up to where all events are routed.
    pub(super) async fn routed_events(&self) -> Result<u64> {
        match self.nats.streams.events.consumer_info(ROUTE).await {
            Ok(info) => Ok(info.ack_floor.stream_sequence),
            // No worker has opened it yet.
            Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(0),
            Err(error) => Err(Error::unavailable(error)),
        }
    }
}

impl Walk<'_> {
    /// Counts the events, and notes the calls of routed ones that are not known. It comes last, when all calls have been seen.
    pub(super) async fn read_events(&mut self, routed: u64) -> Result<()> {
        let mut scan = self.scan("EVENTS", self.audit.nats.subjects.event_all()).await?;
        let mut doubts = 0;
        while let Some(seen) = scan.next().await? {
            self.count_message();
            // The worker that meets one that cannot be read says so.
            let Ok(event) = wire::read_event(&seen.subject, &seen.headers, Bytes::new()) else { continue };
            let is_routed = seen.sequence <= routed;
            self.count(&event, is_routed);
            if is_routed && event.decision.outcome() == EventOutcome::Routed {
                doubts += self.doubt_calls(&event, seen.published, MAX_DOUBTS - doubts);
            }
        }
        scan.end().await;
        self.sources.sort_by(|one, other| one.source.cmp(&other.source));
        Ok(())
    }

    fn count(&mut self, event: &Event, is_routed: bool) {
        let known = self.sources.iter().position(|ledger| ledger.source == event.source);
        let place = known.unwrap_or_else(|| {
            self.sources.push(SourceLedger::new(event.source.clone()));
            self.sources.len() - 1
        });
        let Some(ledger) = self.sources.get_mut(place) else { return };
        ledger.events += 1;
        *match event.decision.outcome() {
            EventOutcome::Ignored => &mut ledger.ignored,
            EventOutcome::Paused => &mut ledger.paused,
            EventOutcome::Routed if is_routed => {
                ledger.calls += event.decision.routes.len() as u64;
                &mut ledger.routed
            }
            EventOutcome::Routed => &mut ledger.waiting,
        } += 1;
    }

    /// Returns how many are in doubt, at most `most`.
    fn doubt_calls(&mut self, event: &Event, stored_at: OffsetDateTime, most: usize) -> usize {
        let (books, source, id) = (&mut self.books, &event.source, &event.id);
        let calls = event.decision.routes.iter().filter_map(|route| {
            let call_id = event.call_id(&route.route, None);
            let mut doubt = books.call_of_event(call_id, &route.function.to_string(), stored_at)?;
            doubt.event = Some(AuditedEvent { source: source.clone(), id: id.clone(), route: route.route.clone() });
            Some(doubt)
        });
        let before = self.doubts.len();
        self.doubts.extend(calls.take(most));
        self.doubts.len() - before
    }
}

/// Counts a call that is nowhere with its source.
pub(super) fn count_missing(sources: &mut [SourceLedger], event: Option<&AuditedEvent>) {
    let Some(event) = event else { return };
    if let Some(ledger) = sources.iter_mut().find(|ledger| ledger.source == event.source) {
        ledger.missing += 1;
    }
}
