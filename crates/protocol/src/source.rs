//! Sources of events: what names them, and what the registry keeps of them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    FunctionName,
    name::{beginning, is_label},
};

/// The name of a source: lower-case letters, digits and inner hyphens, at most 63 characters.
///
/// It is a NATS subject token, a key and a part of a URL at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourceName(String);

/// Why a text names no source.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("source name {0:?} is not valid: use lower-case letters, digits and inner hyphens, at most 63 characters")]
pub struct InvalidSourceName(String);

/// A source as the registry keeps it; only the controller writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceRecord {
    pub name: SourceName,
    /// The declaration as it was given, with its preset by name.
    pub spec: serde_json::Value,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// Its events are stored and wait to be resumed.
    #[serde(default)]
    pub paused: bool,
    /// The function whose annotations declare it, if it is not declared for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionName>,
    /// When the pause began; none in a record of an older version.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub paused_at: Option<OffsetDateTime>,
}

impl SourceRecord {
    /// The source paused, or resumed; a pause that goes on keeps its beginning.
    #[must_use]
    pub fn with_pause(self, paused: bool, now: OffsetDateTime) -> Self {
        let began = self.paused_at.filter(|_| self.paused).unwrap_or(now);
        // A whole second, which is easy to copy, and before the first event of the pause.
        let began = began.replace_nanosecond(0).unwrap_or(began);
        Self { paused, paused_at: paused.then_some(began), ..self }
    }
}

impl SourceName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SourceName {
    type Err = InvalidSourceName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_label(text) { Ok(Self(text.to_owned())) } else { Err(InvalidSourceName(beginning(text))) }
    }
}

impl TryFrom<String> for SourceName {
    type Error = InvalidSourceName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SourceName> for String {
    fn from(name: SourceName) -> Self {
        name.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_a_name_that_is_a_label() {
        for good in ["github", "a", "a-1"] {
            assert_eq!(good.parse::<SourceName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "A", "a.b", "a b", "a/b", &"a".repeat(64)] {
            assert!(bad.parse::<SourceName>().is_err(), "{bad:?}");
        }
    }
}
