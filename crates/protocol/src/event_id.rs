//! What names an event of a source, and a route of a source.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{CallId, name::beginning};

const MAX_EVENT_ID: usize = 128;
const MAX_ROUTE_NAME: usize = 63;

/// The id of one event of a source: letters, digits, `-` and `_`, at most 128.
///
/// It is the last token of the event's subject, so one event is stored once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventId(String);

/// Why a text is no event id.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("event id is not valid: use 1 to 128 letters, digits, hyphens and underscores")]
pub struct InvalidEventId;

/// The name of a route within its source: lower-case letters, digits, `-`, `_` and `.`, at most 63.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RouteName(String);

/// Why a text names no route.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "route name {0:?} is not valid: use lower-case letters, digits, hyphens, underscores and dots, at most 63 characters"
)]
pub struct InvalidRouteName(String);

impl EventId {
    /// An id that no other event has; those of a later millisecond sort later (UUID version 7).
    pub fn generate() -> Self {
        Self(CallId::generate().into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RouteName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if text.is_empty() || text.len() > MAX_EVENT_ID || !text.bytes().all(allowed) {
            return Err(InvalidEventId);
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for RouteName {
    type Err = InvalidRouteName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        if text.is_empty() || text.len() > MAX_ROUTE_NAME || !text.bytes().all(allowed) {
            return Err(InvalidRouteName(beginning(text)));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for EventId {
    type Error = InvalidEventId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<String> for RouteName {
    type Error = InvalidRouteName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<EventId> for String {
    fn from(id: EventId) -> Self {
        id.0
    }
}

impl From<RouteName> for String {
    fn from(name: RouteName) -> Self {
        name.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for RouteName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_is_safe_as_a_subject_token() {
        for good in ["a", "evt_1-A", &"x".repeat(128)] {
            assert_eq!(good.parse::<EventId>().unwrap().as_str(), good);
        }
        for bad in ["", "a.b", "a b", "*", ">", "ü", "a\n", &"x".repeat(129)] {
            assert_eq!(bad.parse::<EventId>(), Err(InvalidEventId), "{bad:?}");
        }
    }

    #[test]
    fn a_route_has_a_name_that_fits_into_a_list() {
        for good in ["deploy", "deploy.staging", "a_b-1", &"x".repeat(63)] {
            assert_eq!(good.parse::<RouteName>().unwrap().as_str(), good);
        }
        for bad in ["", "A", "a,b", "a=b", "a b", "a\n", &"x".repeat(64)] {
            assert!(bad.parse::<RouteName>().is_err(), "{bad:?}");
        }
    }
}
