//! The event and the calls of an occurrence of a schedule.

use bytes::Bytes;
use http::{HeaderMap, Method};
use skep_protocol::{
    Call, CallId, Decision, EventId, EventOccurrence, FunctionName, IgnoredRoute, Lateness, Missed, Occurrence,
    Overlap, Proof, RouteName, Verified,
};
use time::{OffsetDateTime, macros::format_description};

use crate::{Due, Event, Kept, Kind, Receiver, Request, Schedule, Subscribers};

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
        subscribers: &Subscribers<'_>,
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
        let mut decided = self.decided(&event, kept, subscribers);
        decided.occurrence = Some(EventOccurrence { planned_at, missed });
        if let Some(reason) = ignored {
            let Decision { routes, ignored, .. } = &mut decided.decision;
            let left_out = routes.drain(..).map(|route| IgnoredRoute { route: route.route, reason: reason.to_owned() });
            ignored.extend(left_out);
        }
        decided
    }

    /// The functions that its occurrences call, and those that have its calls in front of them.
    pub fn scheduled_functions(&self, schedule: &Schedule, subscribers: &Subscribers<'_>) -> Vec<FunctionName> {
        let topics: Vec<_> = self.topics_of_type(schedule.event_type.as_deref()).collect();
        let mut functions = subscribers(&topics);
        functions.extend(self.routes().iter().map(|route| route.first_function().clone()));
        functions.sort();
        functions.dedup();
        functions
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
        let due_at = schedule.due_at(source, due.at);
        let begins_at = match (run, due.missed) {
            (Run::Planned, None) => due_at,
            (Run::Planned, Some(_)) => due_at.max(now),
            (Run::Now, _) => now,
        };
        // Of those that were missed, all run, or the last one, until a later one is due.
        let may_be_late = run == Run::Planned && (due.missed.is_none() || schedule.missed == Missed::Latest);
        let previous =
            due.previous.as_ref().filter(|_| due.overlap == Overlap::InTurn || schedule.missed != Missed::Skip);
        let calls = event.decision.routes.iter().map(|route| {
            let delay = time::Duration::seconds(route.delay_seconds.unwrap_or_default().cast_signed());
            let after_delay = |at: OffsetDateTime| at.saturating_add(delay);
            let lateness = may_be_late.then(|| Lateness {
                missed: schedule.missed,
                within_seconds: schedule.missed_within.as_secs(),
                next_at: next_at.map(after_delay),
            });
            let occurrence = Occurrence {
                source: event.source.clone(),
                route: route.route.clone(),
                planned_at: due.at,
                overlap: due.overlap,
                after: previous.map(|previous| CallId::of_occurrence(&event.source, &route.route, previous)),
                lateness,
            };
            Call { run_at: Some(after_delay(begins_at)), occurrence: Some(occurrence), ..event.call(route, None, now) }
        });
        calls.collect()
    }
}

impl Receiver {
    /// The calls of a route's occurrences between two times, the newest first; no more than the last hundred.
    pub fn calls_between(&self, route: &RouteName, after: OffsetDateTime, up_to: OffsetDateTime) -> Vec<CallId> {
        let Some(schedule) = self.schedule() else { return Vec::new() };
        let ids = schedule.last_between(after, up_to).into_iter().rev().filter_map(occurrence_id);
        ids.map(|id| CallId::of_occurrence(self.name(), route, &id)).collect()
    }
}

/// The id of the event of an occurrence: its time, as `20261129T020000Z`.
pub fn occurrence_id(at: OffsetDateTime) -> Option<EventId> {
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    at.to_offset(time::UtcOffset::UTC).format(form).ok()?.parse().ok()
}

impl Due {
    /// An occurrence that somebody asks for.
    pub fn asked(at: OffsetDateTime, overlap: Overlap, previous: Option<EventId>) -> Self {
        Self { at, overlap, missed: None, previous }
    }
}
