//! What is wrong with a declaration, and where.

use std::fmt;

use serde_path_to_error::Segment;
use thiserror::Error;

/// A step on the way to a key of a declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyStep {
    Key(String),
    Index(usize),
}

/// What is wrong with a source's declaration: the key, and what is allowed there.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub struct SourceError {
    at: Vec<KeyStep>,
    reason: String,
}

impl SourceError {
    /// An error of the whole declaration.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { at: Vec::new(), reason: one_line(&reason.into()) }
    }

    /// An error at a key.
    pub fn at_key(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(reason).under(key)
    }

    /// The same error, seen from the mapping that has this key.
    pub fn under(mut self, key: impl Into<String>) -> Self {
        self.at.insert(0, KeyStep::Key(one_line(&key.into())));
        self
    }

    /// The same error, seen from the list that it is in.
    pub fn in_list(mut self, index: usize) -> Self {
        self.at.insert(0, KeyStep::Index(index));
        self
    }

    /// The way to the key that is wrong, from the top of the declaration.
    pub fn at(&self) -> &[KeyStep] {
        &self.at
    }

    pub fn reason(&self) -> &str {
        &self.reason
    }

    pub(crate) fn read(error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        let at = error.path().iter().filter_map(|segment| match segment {
            Segment::Map { key } => Some(KeyStep::Key(one_line(key))),
            Segment::Seq { index } => Some(KeyStep::Index(*index)),
            Segment::Enum { .. } | Segment::Unknown => None,
        });
        // Readers of YAML do not say which word it was.
        let reason = error.inner().to_string();
        let reason = reason.replace("boolean `false`", "truth value (no, off or false)");
        let reason = reason.replace("boolean `true`", "truth value (yes, on or true)");
        Self { at: at.collect(), reason: one_line(&reason) }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.at.iter().enumerate() {
            match step {
                KeyStep::Key(key) if number == 0 => write!(formatter, "{key}")?,
                KeyStep::Key(key) => write!(formatter, ".{key}")?,
                KeyStep::Index(index) => write!(formatter, "[{index}]")?,
            }
        }
        if !self.at.is_empty() {
            formatter.write_str(": ")?;
        }
        formatter.write_str(&self.reason)
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(1000).collect()
}
