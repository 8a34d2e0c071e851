//! Colours that tell one replica's lines from another's, on a terminal only.

use std::io::IsTerminal;

/// Cyan, green, yellow, magenta, blue, and the bright ones of them; red is left to errors.
const COLOURS: [u8; 10] = [36, 32, 33, 35, 34, 96, 92, 93, 95, 94];

/// How lines are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    On,
    Off,
}

impl Colours {
    /// As STDOUT and the environment want them: <https://no-color.org>.
    pub(super) fn of_stdout() -> Self {
        let variable = |wanted: &str| std::env::vars_os().find(|(name, _)| name == wanted).map(|(_, value)| value);
        let is_unwanted = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = variable("TERM").is_some_and(|value| value == "dumb");
        if std::io::stdout().is_terminal() && !is_unwanted && !is_dumb { Self::On } else { Self::Off }
    }

    /// A text in the colour of a name.
    pub(super) fn paint(self, text: &str, name: &str) -> String {
        let sum = name.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        match (self, COLOURS.get(sum % COLOURS.len())) {
            (Self::On, Some(colour)) => format!("\u{1b}[{colour}m{text}\u{1b}[0m"),
            _ => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_colour_and_others_have_another() {
        let one = Colours::On.paint("x", "cat-1");
        assert!(one.starts_with("\u{1b}[") && one.ends_with("mx\u{1b}[0m"), "{one:?}");
        assert_eq!(one, Colours::On.paint("x", "cat-1"));
        assert_ne!(one, Colours::On.paint("x", "cat-2"));
        assert_eq!(Colours::Off.paint("x", "cat-1"), "x");
    }
}
