//! The event and the calls of an occurrence of a schedule.

use bytes::Bytes;
use http::{HeaderMap, Method};
use skep_protocol::{
    Call, Decision, EventId, EventOccurrence, IgnoredRoute, Lateness, Occurrence, Overlap, Proof, Verified,
};
use time::{OffsetDateTime, macros::format_description};

use crate::{Due, Event, Kept, Kind, Receiver, Request, Schedule};

/// How the names of a schedule and of its routes are bounded, so that the ids of their calls are valid.
pub(crate) const MAX_NAMES: usize = 80;

/// How the calls of an occurrence are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// When they are due; it is decided then whether they are too late.
    Planned,
    /// At once, although they are late or nothing was planned.
    Now,
}

impl Receiver {
    /// When its events are, if it is a schedule.
    pub fn schedule(&self) -> Option<&Schedule> {
        match self.kind() {
            Kind::Schedule(schedule) => Some(schedule),
            _ => None,
        }
    }

    /// The event of an occurrence, with the routes that it takes; with a reason why it takes none if it takes none.
    pub fn occurrence_event(
        &self,
        schedule: &Schedule,
        id: EventId,
        (at, missed): (OffsetDateTime, Option<u64>),
        ignored: Option<&str>,
    ) -> skep_protocol::Event {
        let planned_at = schedule.local(at);
        let (method, none) = (Method::POST, HeaderMap::new());
        let bare = Request {
            method: &method,
            path: &schedule.path,
            query: None,
            headers: &none,
            body: &schedule.body,
            received_at: at,
        };
        let event = Event { request: bare, id, event_type: schedule.event_type.clone(), verified: Proof::None };
        let headers = {
            let facts = self.facts(&event.request);
            let added = schedule.headers.iter();
            added.filter_map(|(name, added)| Some((name.clone(), added.value(&facts, &event)?))).collect()
        };
        let event = Event { request: Request { headers: &headers, ..bare }, ..event.clone() };
        let kept = Kept {
            headers: headers.clone(),
            query: None,
            body: Bytes::clone(&schedule.body),
            verified: Verified { by: Proof::None, key: None },
            remote: None,
            paused: false,
        };
        let mut decided = self.decided(&event, kept, &[]);
        decided.occurrence = Some(EventOccurrence { planned_at, missed });
        if let Some(reason) = ignored {
            let reason = |route| IgnoredRoute { route, reason: reason.to_owned() };
            let ignored = self.routes().iter().map(|route| reason(route.name().clone())).collect();
            decided.decision = Decision { routes: Vec::new(), ignored, paused: false };
        }
        decided
    }

    /// The calls of an occurrence, which are the same from every planner.
    pub fn occurrence_calls(
        &self,
        schedule: &Schedule,
        event: &skep_protocol::Event,
        due: &Due,
        run: Run,
        now: OffsetDateTime,
    ) -> Vec<Call> {
        let source = self.name().as_str();
        let next_at = schedule.after(due.at).map(|next| schedule.due_at(source, next));
        let is_planned = run == Run::Planned && due.missed.is_none();
        let begins_at = if is_planned { schedule.due_at(source, due.at) } else { now };
        let calls = event.decision.routes.iter().map(|route| {
            let delay = std::time::Duration::from_secs(route.delay_seconds.unwrap_or_default());
            let lateness = is_planned.then(|| Lateness {
                missed: schedule.missed,
                within_seconds: schedule.missed_within.as_secs(),
                next_at: next_at.map(|next| next + delay),
            });
            let occurrence = Occurrence {
                source: event.source.clone(),
                route: route.route.clone(),
                planned_at: due.at,
                overlap: due.overlap,
                lateness,
            };
            Call { run_at: Some(begins_at + delay), occurrence: Some(occurrence), ..event.call(route, None, now) }
        });
        calls.collect()
    }
}

/// The id of the event of an occurrence: its time, as `20261129T020000Z`.
pub fn occurrence_id(at: OffsetDateTime) -> Option<EventId> {
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    at.to_offset(time::UtcOffset::UTC).format(form).ok()?.parse().ok()
}

impl Due {
    /// An occurrence that somebody asks for.
    pub fn asked(at: OffsetDateTime, overlap: Overlap) -> Self {
        Self { at, overlap, missed: None }
    }
}
