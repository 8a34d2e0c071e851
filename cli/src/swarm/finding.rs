//! What a check found, in words, with what to do about it.

use crate::output;

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

    pub(crate) fn print(&self) {
        match self {
            Self::Fine(what) => output::line(format_args!("  ok     {what}")),
            Self::Note(what) => output::line(format_args!("  note   {what}")),
            Self::Wrong { what, fix } => output::line(format_args!("  WRONG  {what}\n         to mend it: {fix}")),
        }
    }
}
