//! The gateway's events about skep itself: sources that refuse or hold requests, and sources that are silent.

use std::sync::{Mutex, MutexGuard, PoisonError};

use skep_sources::{Fact, OwnEvent, Reason};
use time::OffsetDateTime;

use super::hook::Hook;
use crate::app::App;

/// Requests to a source that could not be verified since the last event about them.
#[derive(Debug, Default)]
pub(super) struct Unverified(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    count: u64,
    reason: String,
    /// The minute, since 1970, of the last event about them.
    reported: Option<i64>,
}

impl Unverified {
    pub(super) fn note(&self, reason: &Reason) {
        let mut state = self.state();
        state.count += 1;
        state.reason = reason.to_string();
    }

    /// What to report now: one event of a source in a minute.
    fn take(&self, minute: i64) -> Option<(u64, String)> {
        let mut state = self.state();
        if state.count == 0 || state.reported == Some(minute) {
            return None;
        }
        state.reported = Some(minute);
        Some((std::mem::take(&mut state.count), state.reason.clone()))
    }

    /// It could not be reported, or another gateway has reported this minute.
    fn give_back(&self, count: u64) {
        self.state().count += count;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells that requests to a source could not be verified, once a minute.
pub(super) async fn report_unverified(app: &App, hook: &Hook) {
    let minute = skep_bus::now().unix_timestamp() / 60;
    let Some((count, reason)) = hook.unverified.take(minute) else { return };
    if !app.own_events.are_wanted(OwnEvent::Unverified) {
        return;
    }
    let fact = Fact::Unverified { source: hook.name().clone(), count, reason, minute };
    if !matches!(app.own_events.publish(&fact).await, Ok(true)) {
        hook.unverified.give_back(count);
    }
}

/// Makes an event of it that a source is silent, or has events again; false if that must be tried again.
pub(super) async fn report_silent(app: &App, hook: &Hook, since: OffsetDateTime, over: bool) -> bool {
    let Some(expect_every) = hook.expects_every().filter(|_| !hook.is_of_own_events()) else { return true };
    let fact = Fact::Silent { source: hook.name().clone(), expect_every, since, over };
    app.own_events.publish(&fact).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_event_a_minute_with_all_that_came_since_the_last_one() {
        let unverified = Unverified::default();
        assert_eq!(unverified.take(1), None);
        unverified.note(&Reason::Missing);
        unverified.note(&Reason::Mismatch);
        let (count, reason) = unverified.take(1).unwrap();
        assert_eq!((count, reason), (2, Reason::Mismatch.to_string()));
        unverified.note(&Reason::Mismatch);
        assert_eq!(unverified.take(1), None);
        assert_eq!(unverified.take(2).map(|(count, _)| count), Some(1));
        unverified.give_back(1);
        unverified.note(&Reason::Mismatch);
        assert_eq!(unverified.take(3).map(|(count, _)| count), Some(2));
    }
}
