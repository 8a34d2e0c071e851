//! Dead letters: what was given up, as `/system/dead` shows it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{CallId, timeline::shorten};

/// What could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeadKind {
    /// The call could not be run to a good end.
    Call,
    /// The call has ended, and its callback could not be delivered.
    Callback,
}

impl DeadKind {
    pub const ALL: [Self; 2] = [Self::Call, Self::Callback];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Callback => "callback",
        }
    }
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
        let mut reason = self.reason.clone();
        shorten(&mut reason);
        PastEnd { dead_at: self.dead_at, reason, attempts: self.attempts, last_status: self.last_status }
    }
}

/// One dead letter with the request, or the answer, that it is about: `GET /system/dead/ID`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterContent {
    #[serde(flatten)]
    pub info: DeadLetterInfo,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<DeadRequest>,
    /// The bytes in base64.
    pub body: String,
    /// How many bytes it has, where it is too large to be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub large_body: Option<u64>,
    /// The same as text, where it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The beginning of the last answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_answer: Option<String>,
}

/// The request of a call that was given up, without its body.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadRequest {
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    pub headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// Its ends so far, this one included.
    pub history: Vec<PastEnd>,
}

/// What is to be changed of a request before it is sent again: the body of `POST /system/dead/ID/redrive`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeadChanges {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Base64; counts where there is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Headers to set, or with `null` to remove.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Option<String>>,
}

/// With how many dead letters something was done, and with which not.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DeadDone {
    pub done: usize,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<DeadRefused>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadRefused {
    pub call_id: CallId,
    pub reason: String,
}
