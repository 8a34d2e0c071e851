//! The ledger: how many calls were accepted, what became of them, and which of them are missing.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{CallId, CallState, EventId, RouteName, SourceName};

/// One line of `GET /system/audit`: how far it has come, and at last what was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditLine {
    Progress(AuditProgress),
    Report(AuditReport),
    /// It was broken off; this is why.
    Error(String),
}

/// How many messages have been read, of about how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditProgress {
    pub looked: u64,
    pub of: u64,
}

/// Every call that is known, and what does not add up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditReport {
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    pub duration_seconds: f64,
    /// By their names; only those that have calls.
    pub functions: Vec<FunctionLedger>,
    /// By their names; only those that have events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceLedger>,
    pub findings: Vec<AuditFinding>,
    /// Findings that are left out, because there are too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_findings: u64,
}

/// The calls of one function. `accepted` is the sum of all others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionLedger {
    /// `NAME` or `NAME.NAMESPACE`, or what a publisher wrote in its place.
    pub function: String,
    pub accepted: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub dead: u64,
    pub cancelled: u64,
    /// They have ended, and their results are not kept any more.
    pub expired: u64,
    pub in_flight: u64,
    /// They were accepted, and are nowhere: each is a finding.
    pub missing: u64,
}

/// The events of one source that are kept. `events` is the sum of the four after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceLedger {
    pub source: SourceName,
    pub events: u64,
    pub routed: u64,
    pub ignored: u64,
    pub paused: u64,
    /// A queue-worker has not finished them, or one before them.
    pub waiting: u64,
    /// The routes that the routed ones took: the calls that they have made.
    pub calls: u64,
    /// Calls that are nowhere: each is a finding.
    pub missing: u64,
}

/// Something that does not add up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditFinding {
    pub kind: AuditKind,
    pub call_id: CallId,
    pub function: String,
    /// The event that should have made the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<AuditedEvent>,
    /// When the call was accepted, or was to run; of one that has ended, when it did.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// A route of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditedEvent {
    pub source: SourceName,
    pub id: EventId,
    pub route: RouteName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditKind {
    /// It was accepted, and there is neither a message of it nor a record.
    Missing,
    /// It was given up and has its dead letter, but its record is gone before its time.
    LetterWithoutRecord,
    /// It has its record, and still has a message that a queue-worker should have finished long ago.
    LeftOver,
    /// It was finished long ago and has not been purged, nor has what came after it.
    NotPurged,
    /// It has more than one record.
    TwoRecords,
    /// The event was routed, and a route that it takes has no call.
    NotRouted,
}

impl AuditKind {
    /// What is wrong, in words.
    pub fn what(self) -> &'static str {
        match self {
            Self::Missing => "it was accepted, and neither a message of it nor a record is there",
            Self::LetterWithoutRecord => "its dead letter is there, and its record is gone before its time",
            Self::LeftOver => "it has ended, and a message of it still waits",
            Self::NotPurged => "it has ended, and it and what came after it are not purged",
            Self::TwoRecords => "it has two records",
            Self::NotRouted => "its event was routed, and there is no call of this route",
        }
    }

    /// What to do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Missing => {
                "send it again; if nobody removed anything in NATS, and its disk is well, report it with the logs of that time"
            }
            Self::NotRouted => {
                "skep sources replay SOURCE --id EVENT makes the call; if nobody removed anything in NATS, report it with the logs of that time"
            }
            Self::LetterWithoutRecord => "skep dead show tells what it was; skep dead redrive runs it again",
            Self::LeftOver | Self::NotPurged => "see that a queue-worker runs, and what its log says",
            Self::TwoRecords => "report it with the logs of that time",
        }
    }
}

impl AuditFinding {
    /// What is wrong, in words, with the event if it is one of an event.
    pub fn what(&self) -> String {
        match &self.event {
            Some(AuditedEvent { source, id, route }) => {
                format!("{}: event {id} of {source}, route {route}", self.kind.what())
            }
            None => self.kind.what().to_owned(),
        }
    }
}

impl SourceLedger {
    pub fn new(source: SourceName) -> Self {
        Self { source, events: 0, routed: 0, ignored: 0, paused: 0, waiting: 0, calls: 0, missing: 0 }
    }
}

impl FunctionLedger {
    /// The count of calls that have ended in this way; those that have not are in flight.
    pub fn count_mut(&mut self, state: CallState) -> &mut u64 {
        match state {
            CallState::Scheduled | CallState::Queued | CallState::Running | CallState::Retrying => &mut self.in_flight,
            CallState::Succeeded => &mut self.succeeded,
            CallState::Failed => &mut self.failed,
            CallState::Dead => &mut self.dead,
            CallState::Cancelled => &mut self.cancelled,
        }
    }

    /// All counts with their names, `accepted` first.
    pub fn counts(&self) -> [(&'static str, u64); 8] {
        [
            ("accepted", self.accepted),
            ("succeeded", self.succeeded),
            ("failed", self.failed),
            ("dead", self.dead),
            ("cancelled", self.cancelled),
            ("expired", self.expired),
            ("in_flight", self.in_flight),
            ("missing", self.missing),
        ]
    }

    /// Sets `accepted` to the sum of all others.
    pub fn sum_up(&mut self) {
        self.accepted = 0;
        self.accepted = self.counts().iter().map(|(_, count)| count).sum();
    }
}

impl AuditReport {
    pub fn adds_up(&self) -> bool {
        self.findings.is_empty() && self.more_findings == 0
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
