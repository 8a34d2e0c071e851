//! Entries that anybody can cause as often as they like: the first ones are written, and further ones are counted for a minute.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use skep_protocol::AuditLogEntry;
use tokio::time::Instant;

/// How often the counts are written.
pub(super) const REPEATS_INTERVAL: Duration = Duration::from_secs(60);
/// The most sources that are counted apart; all further ones count as one.
const MAX_SOURCES: usize = 256;
/// Stands for all further ones.
const OTHERS: &str = "";

#[derive(Default)]
pub(super) struct Repeated(Mutex<HashMap<String, Window>>);

struct Window {
    began: Instant,
    /// How many more are written one by one.
    free: u32,
    counted: u64,
    last: AuditLogEntry,
}

impl Repeated {
    /// Returns the entry if it is to be written now, and otherwise counts it. Up to `free` entries of one source are written in a minute.
    pub(super) fn admit(&self, source: &str, free: u32, mut entry: AuditLogEntry) -> Option<AuditLogEntry> {
        let now = Instant::now();
        let mut windows = self.windows();
        let mut source = source;
        if windows.len() >= MAX_SOURCES && !windows.contains_key(source) {
            source = OTHERS;
            entry.address = None;
        }
        let new = Window { began: now, free, counted: 0, last: entry.clone() };
        let window = windows.entry(source.to_owned()).or_insert(new);
        if window.counted == 0 && now.duration_since(window.began) >= REPEATS_INTERVAL {
            (window.began, window.free) = (now, free);
        }
        if window.free > 0 {
            window.free -= 1;
            return Some(entry);
        }
        window.counted += 1;
        window.last = entry;
        None
    }

    /// What was counted for long enough, as one entry for each source.
    pub(super) fn due(&self) -> Vec<AuditLogEntry> {
        let now = Instant::now();
        let mut windows = self.windows();
        windows.retain(|_, window| window.counted > 0 || now.duration_since(window.began) < REPEATS_INTERVAL);
        let due = windows.values_mut().filter(|window| now.duration_since(window.began) >= REPEATS_INTERVAL);
        due.map(|window| {
            window.began = now;
            window.take()
        })
        .collect()
    }

    /// All that was counted, at the end.
    pub(super) fn all(&self) -> Vec<AuditLogEntry> {
        let mut windows = mem::take(&mut *self.windows());
        windows.values_mut().filter(|window| window.counted > 0).map(Window::take).collect()
    }

    fn windows(&self) -> MutexGuard<'_, HashMap<String, Window>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn take(&mut self) -> AuditLogEntry {
        let count = mem::take(&mut self.counted);
        AuditLogEntry { count: Some(count), ..self.last.clone() }
    }
}

#[cfg(test)]
mod tests {
    use skep_protocol::AuditAction;
    use time::OffsetDateTime;
    use tokio::time::advance;

    use super::*;

    fn entry() -> AuditLogEntry {
        let entry = AuditLogEntry::new(OffsetDateTime::UNIX_EPOCH, "unknown", AuditAction::Login);
        AuditLogEntry { address: Some("10.0.0.7".to_owned()), ..entry }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_is_told_at_once_and_the_others_once_a_minute_with_their_count() {
        let repeated = Repeated::default();
        assert!(repeated.admit("a", 1, entry()).is_some());
        for _ in 0..100 {
            assert!(repeated.admit("a", 1, entry()).is_none());
        }
        assert!(repeated.admit("b", 1, entry()).is_some(), "another source is not held back");
        assert!(repeated.due().is_empty());
        advance(REPEATS_INTERVAL).await;
        let due = repeated.due();
        assert_eq!(due.iter().map(|entry| entry.count).collect::<Vec<_>>(), [Some(100)]);
        assert!(repeated.admit("a", 1, entry()).is_none(), "it was admitted a moment ago");
        assert_eq!(repeated.all().len(), 1);
        assert!(repeated.all().is_empty() && repeated.due().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_was_quiet_for_a_minute_begins_anew() {
        let repeated = Repeated::default();
        assert!(repeated.admit("a", 2, entry()).is_some() && repeated.admit("a", 2, entry()).is_some());
        advance(REPEATS_INTERVAL).await;
        assert!(repeated.admit("a", 2, entry()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn sources_beyond_the_bound_are_one() {
        let repeated = Repeated::default();
        let admitted = (0..2 * MAX_SOURCES).filter(|source| repeated.admit(&source.to_string(), 1, entry()).is_some());
        assert_eq!(admitted.count(), MAX_SOURCES + 1);
        advance(REPEATS_INTERVAL).await;
        let due = repeated.due();
        assert_eq!((due.len(), due[0].address.as_deref()), (1, None));
    }
}
