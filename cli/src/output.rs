//! What the program says on STDOUT.

use std::io::Write;

/// Prints a line. A closed STDOUT (`skep up | head`) is no reason to stop working.
pub(crate) fn line(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
