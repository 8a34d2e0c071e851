//! Dead letters: what was given up, as `/system/dead` shows it.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::CallId;

/// What could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeadKind {
    /// The call could not be run to a good end.
    Call,
    /// The call has ended, and its callback could not be delivered.
    Callback,
}

/// A dead letter without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterInfo {
    pub call_id: CallId,
    /// The function as it was named, `NAME` or `NAME.NAMESPACE`.
    pub function: String,
    pub kind: DeadKind,
    pub reason: String,
    /// Attempts that were made.
    pub attempts: u64,
    /// HTTP status of the last answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_status: Option<u16>,
    #[serde(with = "time::serde::rfc3339")]
    pub dead_at: OffsetDateTime,
    /// Its place in the stream; a list goes on after it.
    pub sequence: u64,
}

/// An end of a call that was sent on its way again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PastEnd {
    #[serde(with = "time::serde::rfc3339")]
    pub dead_at: OffsetDateTime,
    pub reason: String,
    pub attempts: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_status: Option<u16>,
}

impl DeadLetterInfo {
    /// This end, when it is the past.
    pub fn past(&self) -> PastEnd {
        PastEnd {
            dead_at: self.dead_at,
            reason: self.reason.clone(),
            attempts: self.attempts,
            last_status: self.last_status,
        }
    }
}
