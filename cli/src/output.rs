//! What the program says on STDOUT.

use std::io::Write;

/// Prints a line. A closed STDOUT (`skep up | head`) is no reason to stop working.
pub(crate) fn line(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A text with its line breaks and tabs, and all other control characters written out.
pub(crate) fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && !matches!(c, '\n' | '\t') {
            harmless.extend(c.escape_default());
        } else {
            harmless.push(c);
        }
    }
    harmless
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(harmless("a\x1b[31mb\r\nc\td\u{9b}é"), "a\\u{1b}[31mb\\r\nc\td\\u{9b}é");
    }
}
