//! What a check found, in words, with what to do about it.

use serde::{Deserialize, Serialize};

use crate::output;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Finding {
    Fine(String),
    /// Worth knowing; nothing has to be done.
    Note(String),
    Wrong {
        what: String,
        fix: String,
    },
}

impl Finding {
    pub(crate) fn fine(what: impl Into<String>) -> Self {
        Self::Fine(what.into())
    }

    pub(crate) fn note(what: impl Into<String>) -> Self {
        Self::Note(what.into())
    }

    pub(crate) fn wrong(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Wrong { what: what.into(), fix: fix.into() }
    }

    pub(crate) fn is_wrong(&self) -> bool {
        matches!(self, Self::Wrong { .. })
    }

    /// The same with another text of what was found.
    pub(crate) fn map(self, text: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Fine(what) => Self::Fine(text(what)),
            Self::Note(what) => Self::Note(text(what)),
            Self::Wrong { what, fix } => Self::Wrong { what: text(what), fix },
        }
    }

    pub(crate) fn print(&self) {
        match self {
            Self::Fine(what) => output::line(format_args!("  ok     {what}")),
            Self::Note(what) => output::line(format_args!("  note   {what}")),
            Self::Wrong { what, fix } => output::line(format_args!("  WRONG  {what}\n         to fix it: {fix}")),
        }
    }
}

/// The findings that `skep doctor --json` has printed, among other lines.
pub(crate) fn read(said: &str) -> Option<Vec<Finding>> {
    said.lines().find_map(|line| serde_json::from_str(line).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_read_as_they_were_printed() {
        let printed = serde_json::to_string(&[Finding::fine("a"), Finding::wrong("b", "c")]).unwrap();
        let found = read(&format!("{printed}\nskep: one thing is wrong, see above")).unwrap();
        assert!(matches!(&found[1], Finding::Wrong { what, fix } if what == "b" && fix == "c"));
        assert!(read("error: unexpected argument '--json' found").is_none());
    }
}
