//! Events of skep itself.

use std::fmt;

use serde::Deserialize;

use crate::error::SourceError;

/// Which of skep's own events a source has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct PlatformEvents(pub Vec<OwnEvent>);

/// Something about skep itself that can be an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnEvent {
    /// A call became a dead letter.
    Dead,
    /// A source has refused or holds requests that it could not verify.
    Unverified,
    /// A source has had no event for its `expect_every`, or has events again.
    Silent,
    /// A callback was given up.
    Undelivered,
    /// Occurrences of a schedule were missed.
    ScheduleMissed,
    /// A stream, or what the server may store, is nearly full.
    Disk,
}

impl OwnEvent {
    pub const ALL: [Self; 6] =
        [Self::Dead, Self::Unverified, Self::Silent, Self::Undelivered, Self::ScheduleMissed, Self::Disk];

    /// Its name in a declaration, and its type as an event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Unverified => "unverified",
            Self::Silent => "silent",
            Self::Undelivered => "undelivered",
            Self::ScheduleMissed => "schedule-missed",
            Self::Disk => "disk",
        }
    }
}

impl fmt::Display for OwnEvent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

pub(super) fn read(events: PlatformEvents) -> Result<PlatformEvents, SourceError> {
    if events.0.is_empty() {
        let names = OwnEvent::ALL.map(OwnEvent::as_str).join(", ");
        return Err(SourceError::at_key("skep", format!("names no event; there are {names}")));
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Kind, Source};

    #[test]
    fn events_are_named_as_their_type_is() {
        let names: Vec<&str> = OwnEvent::ALL.iter().map(|event| event.as_str()).collect();
        let source = Source::from_spec(&json!({ "skep": names, "routes": [] })).unwrap();
        let Kind::Platform(events) = source.kind else { panic!("{:?}", source.kind) };
        assert_eq!(events.0, OwnEvent::ALL);
    }

    #[test]
    fn unknown_and_no_events_are_refused_with_those_that_there_are() {
        for (spec, expected) in [
            (json!({ "skep": ["alive"] }), "skep[0]: unknown variant `alive`, expected one of `dead`, `unverified`"),
            (json!({ "skep": [] }), "skep: names no event; there are dead, unverified"),
            (json!({ "skep": "dead" }), "skep: "),
        ] {
            let error = Source::from_spec(&spec).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
