//! A terminal that gives each key as it is pressed.

use std::{
    fs::File,
    io::{self, Read},
};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

/// A key that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    Enter,
    Back,
    Sort,
    Quit,
}

/// The keyboard, until it is dropped; then the terminal is as it was.
pub(super) struct Keys {
    terminal: File,
    before: Termios,
    pressed: mpsc::Receiver<Key>,
}

impl Keys {
    pub(super) fn open() -> io::Result<Self> {
        let terminal = File::options().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        // Ctrl-C is a key, too, so that the terminal is put back.
        raw.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&terminal, OptionalActions::Flush, &raw)?;
        let (sender, pressed) = mpsc::channel(16);
        let mut reader = terminal.try_clone()?;
        // It waits for a key until the program ends.
        std::thread::Builder::new().name("keys".to_owned()).spawn(move || {
            let mut bytes = [0; 16];
            while let Ok(count) = reader.read(&mut bytes) {
                let Some(read) = bytes.get(..count).filter(|read| !read.is_empty()) else { return };
                if keys(read).into_iter().any(|key| sender.blocking_send(key).is_err()) {
                    return;
                }
            }
        })?;
        Ok(Self { terminal, before, pressed })
    }

    /// The next key; quit if the terminal is gone.
    pub(super) async fn next(&mut self) -> Key {
        self.pressed.recv().await.unwrap_or(Key::Quit)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// The keys that send these bytes; those that mean nothing here are left out.
fn keys(mut bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let [first, rest @ ..] = bytes {
        let (key, rest) = match (first, rest) {
            (0x1b, [b'[' | b'O', sequence @ ..]) => after_sequence(sequence),
            (0x1b | 0x7f | 0x08, _) => (Some(Key::Back), rest),
            (b'k', _) => (Some(Key::Up), rest),
            (b'j', _) => (Some(Key::Down), rest),
            (b'\r' | b'\n', _) => (Some(Key::Enter), rest),
            (b's', _) => (Some(Key::Sort), rest),
            // Ctrl-C and Ctrl-D, too.
            (b'q' | b'Q' | 0x03 | 0x04, _) => (Some(Key::Quit), rest),
            _ => (None, rest),
        };
        keys.extend(key);
        bytes = rest;
    }
    keys
}

/// The key of an escape sequence, and what follows it. A letter or a tilde ends a sequence.
fn after_sequence(sequence: &[u8]) -> (Option<Key>, &[u8]) {
    let end = sequence.iter().position(|byte| (0x40..=0x7e).contains(byte)).unwrap_or(sequence.len());
    let key = match sequence.get(end).filter(|_| end == 0) {
        Some(b'A') => Some(Key::Up),
        Some(b'B') => Some(Key::Down),
        Some(b'C') => Some(Key::Enter),
        Some(b'D') => Some(Key::Back),
        _ => None,
    };
    (key, sequence.get(end + 1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_and_letters_are_keys() {
        let pressed = [&b"\x1b[A"[..], b"j", b"\r", b"\x1b", b"s", b"\x03"].map(keys).concat();
        assert_eq!(pressed, [Key::Up, Key::Down, Key::Enter, Key::Back, Key::Sort, Key::Quit]);
        assert_eq!(keys(b"\x1b[5~x\x1bs\x1bOB\x1b["), [Key::Back, Key::Sort, Key::Down]);
    }
}
