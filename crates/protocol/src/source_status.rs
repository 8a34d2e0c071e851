//! Sources in the form of the HTTP API.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{SealedSecret, SourceName, SourceProgram};

/// One source, in the form of `GET /system/sources`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    pub name: SourceName,
    /// How its events come: `webhook`, `schedule`, `nats`, `mqtt`, `program` or `skep`.
    #[serde(default)]
    pub kind: String,
    /// Where the provider of a webhook sends its events, on the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    pub paused: bool,
    /// Since when it is.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub paused_at: Option<OffsetDateTime>,
    /// It verifies nothing, so everybody can send it events.
    pub open: bool,
    /// The address to give to the provider, if the source or the gateway's `--public-url` says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When its last event came, as far as one is kept.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub last_event_at: Option<OffsetDateTime>,
    /// It has had no event for its `expect_every`.
    #[serde(default)]
    pub silent: bool,
    /// How its program is doing, if it is one and the controller answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<SourceProgram>,
    /// Those that count now, the newest first.
    pub secrets: Vec<SourceSecretStatus>,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// What keeps it from taking events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Messages of its stream that are not stored as events yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<u64>,
    /// What is likely not meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The next times of a schedule, with the offset of its time zone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<String>,
    /// The function whose annotations declare it, if it is not declared for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// What is kept of it, and what was decided about its newest events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<SourceCounts>,
    /// The declaration as it was given.
    pub spec: serde_json::Value,
}

/// How much is kept of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceCounts {
    pub events: u64,
    /// How often one of them came again in the last seven days, up to 10,000.
    #[serde(default)]
    pub duplicates: u64,
    /// Copies of requests that were refused, the newest of them.
    pub refused: u64,
    /// Requests that wait to be released.
    pub held: u64,
    /// Only where one source is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<DecidedCounts>,
}

/// What was decided about the newest events of a source, at most 1,000.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedCounts {
    /// When the oldest of them came.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    pub routed: u64,
    pub ignored: u64,
    pub paused: u64,
}

/// One secret of a source; its value is never shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceSecretStatus {
    pub number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// When the last event came that it has verified, as far as that is known; where one source is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub last_used_at: Option<OffsetDateTime>,
}

impl From<&SealedSecret> for SourceSecretStatus {
    fn from(secret: &SealedSecret) -> Self {
        let SealedSecret { number, name, created_at, expires_at, .. } = secret;
        let (number, name, created_at, expires_at) = (*number, name.clone(), *created_at, *expires_at);
        Self { number, name, created_at, expires_at, last_used_at: None }
    }
}
