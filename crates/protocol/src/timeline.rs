//! The timeline of a call, step by step, from its stored messages.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::{CallId, CallState, CallStatus};

/// The most attempts of a call that are shown; the last ones.
const MAX_ATTEMPTS: usize = 32;
/// The longest reason that is shown, in characters.
const MAX_REASON: usize = 200;

/// An attempt that was followed by another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PastAttempt {
    /// Counted from 1.
    pub number: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    pub duration_seconds: f64,
    /// The replica that took it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<String>,
    /// HTTP status of the answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub reason: String,
    /// When the next one is due.
    #[serde(with = "time::serde::rfc3339")]
    pub next_at: OffsetDateTime,
}

/// A try to deliver a callback. The first one is kept only if it came to nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallbackTry {
    /// Counted from 1.
    pub number: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Why it came to nothing; a callback that was taken has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it is tried again, if it is.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub next_at: Option<OffsetDateTime>,
}

/// One kind of step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Stored, and answered 202.
    Accepted,
    /// It waits for the time that its caller named.
    Scheduled,
    /// It was sent on its way again after it had died.
    Redriven,
    /// An attempt was begun.
    Started,
    /// An attempt has failed, and the next one waits.
    Retrying,
    Succeeded,
    Failed,
    Dead,
    Cancelled,
    /// The receiver has its callback.
    Delivered,
    /// The receiver did not take its callback, and is tried again.
    Undelivered,
    /// The callback was given up.
    GivenUp,
}

/// One step of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallEvent {
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    pub event: Step,
    /// Which attempt, or which try of a callback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<String>,
    /// HTTP status of the function's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Until when it waits.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub until: Option<OffsetDateTime>,
}

/// `GET /system/calls/{id}`: where a call stands, and what happened to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallDetails {
    #[serde(flatten)]
    pub status: CallStatus,
    pub timeline: Vec<CallEvent>,
}

/// A step of some call, in the form of `GET /system/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallNews {
    pub call_id: CallId,
    pub function: String,
    #[serde(flatten)]
    pub event: CallEvent,
}

impl CallDetails {
    /// The attempts move from the status to the timeline.
    pub fn new(mut status: CallStatus, tries: &[CallbackTry]) -> Self {
        let timeline = timeline(&status, tries);
        status.past_attempts.clear();
        Self { status, timeline }
    }
}

impl PastAttempt {
    /// Puts an attempt behind those before it.
    pub fn append_to(mut self, attempts: &mut Vec<Self>) {
        shorten(&mut self.reason);
        attempts.push(self);
        let too_many = attempts.len().saturating_sub(MAX_ATTEMPTS);
        attempts.drain(..too_many);
    }
}

/// Shortens a reason to what the history shows of it.
pub(crate) fn shorten(reason: &mut String) {
    if let Some((end, _)) = reason.char_indices().nth(MAX_REASON) {
        reason.truncate(end);
    }
}

impl Step {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Scheduled => "scheduled",
            Self::Redriven => "redriven",
            Self::Started => "started",
            Self::Retrying => "retrying",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
            Self::GivenUp => "givenup",
        }
    }

    /// Whether the call has ended with it.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Dead | Self::Cancelled)
    }

    /// The step that a state is the result of; a call that is queued or runs has come to no end.
    fn of_end(state: CallState) -> Option<Self> {
        match state {
            CallState::Scheduled | CallState::Queued | CallState::Running | CallState::Retrying => None,
            CallState::Succeeded => Some(Self::Succeeded),
            CallState::Failed => Some(Self::Failed),
            CallState::Dead => Some(Self::Dead),
            CallState::Cancelled => Some(Self::Cancelled),
        }
    }
}

impl CallEvent {
    fn new(at: OffsetDateTime, event: Step) -> Self {
        Self {
            at,
            event,
            attempt: None,
            replica: None,
            status: None,
            duration_seconds: None,
            reason: None,
            until: None,
        }
    }

    pub fn of_try(one: &CallbackTry) -> Self {
        let event = match (&one.reason, one.next_at) {
            (None, _) => Step::Delivered,
            (Some(_), Some(_)) => Step::Undelivered,
            (Some(_), None) => Step::GivenUp,
        };
        Self { attempt: Some(one.number), reason: one.reason.clone(), until: one.next_at, ..Self::new(one.at, event) }
    }
}

/// All steps, in the order in which they came.
pub fn timeline(status: &CallStatus, tries: &[CallbackTry]) -> Vec<CallEvent> {
    let mut events = vec![CallEvent::new(status.accepted_at, Step::Accepted)];
    for end in &status.history {
        events.push(CallEvent {
            attempt: Some(end.attempts),
            status: end.last_status,
            reason: Some(end.reason.clone()),
            ..CallEvent::new(end.dead_at, Step::Dead)
        });
    }
    match (status.run_at, status.history.is_empty()) {
        (Some(run_at), true) => {
            events.push(CallEvent { until: Some(run_at), ..CallEvent::new(status.accepted_at, Step::Scheduled) });
        }
        (Some(run_at), false) => events.push(CallEvent::new(run_at, Step::Redriven)),
        (None, _) => {}
    }
    for attempt in &status.past_attempts {
        events.push(started(attempt.started_at, attempt.number, attempt.replica.as_ref()));
        let ended_at = attempt.started_at + Duration::seconds_f64(attempt.duration_seconds);
        events.push(CallEvent {
            attempt: Some(attempt.number),
            status: attempt.status,
            duration_seconds: Some(attempt.duration_seconds),
            reason: Some(attempt.reason.clone()),
            until: Some(attempt.next_at),
            ..CallEvent::new(ended_at, Step::Retrying)
        });
    }
    if let Some(started_at) = status.started_at {
        events.push(started(started_at, status.attempts, status.replica.as_ref()));
    }
    if let Some((step, finished_at)) = Step::of_end(status.state).zip(status.finished_at) {
        events.push(CallEvent {
            attempt: Some(status.attempts).filter(|&attempts| attempts > 0),
            status: status.status,
            duration_seconds: status.duration_seconds,
            reason: status.reason.clone(),
            ..CallEvent::new(finished_at, step)
        });
    }
    events.extend(tries.iter().map(CallEvent::of_try));
    events
}

fn started(at: OffsetDateTime, attempt: u64, replica: Option<&String>) -> CallEvent {
    CallEvent { attempt: Some(attempt), replica: replica.cloned(), ..CallEvent::new(at, Step::Started) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PastEnd;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(seconds).unwrap()
    }

    fn steps(status: &CallStatus, tries: &[CallbackTry]) -> Vec<(i64, &'static str)> {
        let events = timeline(status, tries);
        events.iter().map(|event| (event.at.unix_timestamp(), event.event.as_str())).collect()
    }

    fn attempt(number: u64, started: i64) -> PastAttempt {
        PastAttempt {
            number,
            started_at: at(started),
            duration_seconds: 2.0,
            replica: Some("f-1".to_owned()),
            status: Some(503),
            reason: "busy".to_owned(),
            next_at: at(started + 10),
        }
    }

    #[test]
    fn the_steps_of_a_life_are_told_in_their_order() {
        let accepted = CallStatus::accepted("a".parse().unwrap(), "f", at(1));
        assert_eq!(steps(&accepted, &[]), [(1, "accepted")]);
        let dead = PastEnd { dead_at: at(20), reason: "x".to_owned(), attempts: 1, last_status: None };
        let done = CallStatus {
            state: CallState::Succeeded,
            run_at: Some(at(30)),
            history: vec![dead],
            past_attempts: vec![attempt(1, 31)],
            attempts: 2,
            started_at: Some(at(41)),
            finished_at: Some(at(43)),
            ..accepted.clone()
        };
        let tries = [(1, Some("no"), Some(50)), (2, Some("no"), None), (3, None, None)];
        let tries = tries.map(|(number, reason, next)| CallbackTry {
            number,
            at: at(44),
            reason: reason.map(str::to_owned),
            next_at: next.map(at),
        });
        let expected = [
            (1, "accepted"),
            (20, "dead"),
            (30, "redriven"),
            (31, "started"),
            (33, "retrying"),
            (41, "started"),
            (43, "succeeded"),
            (44, "undelivered"),
            (44, "givenup"),
            (44, "delivered"),
        ];
        assert_eq!(steps(&done, &tries), expected);
        let scheduled = CallStatus { run_at: Some(at(90)), ..accepted };
        assert_eq!(steps(&scheduled, &[]), [(1, "accepted"), (1, "scheduled")]);
    }

    #[test]
    fn the_last_attempts_are_kept_and_their_reasons_shortened() {
        let mut attempts = Vec::new();
        for number in 1..=40 {
            PastAttempt { reason: "ü".repeat(500), ..attempt(number, 0) }.append_to(&mut attempts);
        }
        assert_eq!((attempts.len(), attempts[0].number), (MAX_ATTEMPTS, 9));
        assert_eq!(attempts[0].reason.chars().count(), MAX_REASON);
    }

    #[test]
    fn a_step_is_called_the_same_everywhere() {
        for step in [Step::Accepted, Step::Undelivered, Step::GivenUp] {
            assert_eq!(serde_json::to_value(step).unwrap(), step.as_str());
        }
    }
}
