//! How far a backup or a restore is, on a terminal.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use skep_bus::BackupPart;
use tokio::time::Instant;

const SHOW_INTERVAL: Duration = Duration::from_millis(200);

/// One line that is written over and over.
pub(super) struct Progress {
    is_shown: bool,
    does: &'static str,
    part: String,
    bytes: u64,
    shown_at: Instant,
}

impl Progress {
    /// `does` says what is done, such as copied.
    pub(super) fn of(does: &'static str) -> Self {
        Self { is_shown: io::stderr().is_terminal(), ..Self::new(does) }
    }

    #[cfg(test)]
    pub(super) fn hidden() -> Self {
        Self::new("")
    }

    fn new(does: &'static str) -> Self {
        Self { is_shown: false, does, part: String::new(), bytes: 0, shown_at: Instant::now() }
    }

    pub(super) fn begin(&mut self, part: &BackupPart) {
        self.part.clone_from(&part.name);
        self.show();
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if self.shown_at.elapsed() >= SHOW_INTERVAL {
            self.show();
        }
    }

    fn show(&mut self) {
        self.shown_at = Instant::now();
        if self.is_shown {
            let (part, size, does) = (&self.part, size(self.bytes), self.does);
            // What cannot be shown is only missed.
            let _ = write!(io::stderr(), "\r\x1b[K{size} {does}; {part}");
        }
    }

    pub(super) fn clear(&self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// A number of bytes as people read it.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_fitting_units() {
        let shown = [0, 1536, 5 << 20, 3 << 30, 9 << 40].map(size);
        assert_eq!(shown, ["0.0 KiB", "1.5 KiB", "5.0 MiB", "3.0 GiB", "9.0 TiB"]);
    }
}
