//! What the HTTP API tells of sources.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{SealedSecret, SourceName};

/// One source, as `GET /system/sources` tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    pub name: SourceName,
    /// Where the provider sends its events, on the gateway.
    pub path: String,
    pub paused: bool,
    /// It verifies nothing, so everybody can send it events.
    pub open: bool,
    /// Those that count now, the newest first.
    pub secrets: Vec<SourceSecretStatus>,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// What keeps it from taking events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What is likely not meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The declaration as it was given.
    pub spec: serde_json::Value,
}

/// One secret of a source; its value is never told.
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
}

impl From<&SealedSecret> for SourceSecretStatus {
    fn from(secret: &SealedSecret) -> Self {
        let SealedSecret { number, name, created_at, expires_at, .. } = secret;
        Self { number: *number, name: name.clone(), created_at: *created_at, expires_at: *expires_at }
    }
}
