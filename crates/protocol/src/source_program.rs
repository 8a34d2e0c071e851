//! The program of a source, as the controller runs it.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::LogLine;

/// How the program of a source is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceProgram {
    pub state: ProgramState,
    /// The process that keeps it, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Since when it is in this state.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// How often it was started again, as far as this controller knows.
    pub restarts: u64,
    /// Events that it printed and that are stored, each once.
    pub events: u64,
    /// What it printed and that is no event.
    pub refused: u64,
    /// Why it ended last, or could not be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Why the last thing that was refused is no event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refused: Option<String>,
}

/// Whether a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProgramState {
    Running,
    /// It has ended, or could not be started, and is started again after a delay.
    Waiting,
    /// Its source is disabled, or the controller ends.
    Stopped,
}

/// What the controller knows of the program of a source.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SourceProgramReport {
    /// None if no such program runs here.
    #[serde(default)]
    pub program: Option<SourceProgram>,
    /// The last lines of its STDERR, and what skep says of it.
    #[serde(default)]
    pub lines: Vec<LogLine>,
}

impl fmt::Display for ProgramState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
        })
    }
}
