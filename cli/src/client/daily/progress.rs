//! How far a command is that does many things.

use std::time::Duration;

use tokio::time::Instant;

use crate::output;

/// Fewer are shown one by one.
const MANY: usize = 20;
const SHOW_INTERVAL: Duration = Duration::from_secs(1);

/// Shows how many of many functions are done, once a second and at the end.
pub(super) struct Progress {
    all: usize,
    done: &'static str,
    began: Instant,
    shown_at: Instant,
    is_shown: bool,
}

impl Progress {
    /// `done` is what becomes of them, such as deployed.
    pub(super) fn of(all: usize, done: &'static str, is_shown: bool) -> Self {
        let now = Instant::now();
        Self { all, done, began: now, shown_at: now, is_shown }
    }

    /// Whether there are too many to show each.
    pub(super) fn is_of_many(&self) -> bool {
        self.all > MANY
    }

    pub(super) fn show(&mut self, count: usize) {
        if !self.is_shown || !self.is_of_many() || count < self.all && self.shown_at.elapsed() < SHOW_INTERVAL {
            return;
        }
        self.shown_at = Instant::now();
        let (all, done, passed) = (self.all, self.done, self.began.elapsed().as_secs_f64());
        output::line(format_args!("{count} of {all} functions are {done}, after {passed:.1} s"));
    }
}
