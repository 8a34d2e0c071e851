//! Requests about the sources of events. What they change is a revision of the sources, not of the functions.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use super::Revision;
use crate::{CallOfEvent, EventId, Overlap, SecretText, SourceName};

/// Adds a source that is not there yet.
#[derive(Serialize, Deserialize)]
pub struct CreateSource {
    pub name: SourceName,
    pub spec: Value,
}

/// Gives a source another declaration, and reads the secrets again that it names.
#[derive(Serialize, Deserialize)]
pub struct UpdateSource {
    pub name: SourceName,
    pub spec: Value,
}

/// Removes a source and its secrets.
#[derive(Serialize, Deserialize)]
pub struct DeleteSource {
    pub name: SourceName,
}

/// Has the events of a source wait, or lets them go on.
#[derive(Serialize, Deserialize)]
pub struct PauseSource {
    pub name: SourceName,
    pub paused: bool,
}

/// Asks how the program of a source is doing, and for the last lines of its log.
#[derive(Serialize, Deserialize)]
pub struct ReadSourceProgram {
    pub source: SourceName,
    /// How many lines, at most.
    pub lines: usize,
}

/// Has a schedule call its functions now.
#[derive(Serialize, Deserialize)]
pub struct FireSource {
    pub name: SourceName,
    #[serde(default)]
    pub overlap: Option<Overlap>,
}

/// Has a schedule make the calls of its times in the past, both ends included.
#[derive(Serialize, Deserialize)]
pub struct BackfillSource {
    pub name: SourceName,
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub to: OffsetDateTime,
    #[serde(default)]
    pub overlap: Option<Overlap>,
    /// An id of the backfill: asked for again with this one, it makes no call twice.
    pub id: String,
}

/// The calls that a schedule was asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fired {
    /// Occurrences, the oldest first.
    pub occurrences: Vec<FiredOccurrence>,
}

/// One occurrence that a schedule was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FiredOccurrence {
    pub event: EventId,
    /// The time that it is of, with the offset of the schedule's time zone.
    pub planned_at: String,
    pub calls: Vec<CallOfEvent>,
}

/// Adds a secret to a source; it is the newest one then.
#[derive(Serialize, Deserialize)]
pub struct AddSourceSecret {
    pub source: SourceName,
    pub value: SecretText,
    /// What a challenge asks for; without a name it verifies events.
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// When the other secrets of the same name expire.
    #[serde(default)]
    pub retire_others: Option<Duration>,
    /// The provider has sent it: it is taken only while the source has none and may learn one.
    #[serde(default)]
    pub learned: bool,
}

/// A secret was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedSourceSecret {
    pub number: u64,
    pub revision: Revision,
}

/// Removes secrets of a source.
#[derive(Serialize, Deserialize)]
pub struct RemoveSourceSecret {
    pub source: SourceName,
    pub which: WhichSecret,
}

/// Which secrets of a source are meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WhichSecret {
    Number(u64),
    /// All of this name.
    Name(String),
}
