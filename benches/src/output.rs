//! What the program says: progress on STDERR, the result on STDOUT. A closed stream is no reason to stop.

use std::{fmt::Display, io::Write};

pub(crate) fn progress(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

pub(crate) fn result(text: impl Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
