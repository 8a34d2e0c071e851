//! A program that prints events.

use serde::Deserialize;

use crate::error::SourceError;

/// All keys of a program.
pub(super) const KEYS: &[&str] = &["program", "format", "ack"];

/// A program that prints events.
#[derive(Clone, Debug, Deserialize)]
pub struct Program {}

pub(super) fn read(_program: Program) -> Result<Program, SourceError> {
    Err(SourceError::at_key("program", "is not supported yet"))
}
