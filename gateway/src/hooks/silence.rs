//! When a source had its last event, and whether that is longer ago than it expects.
//!
//! The stream of events knows it for all gateways; it is asked only where this gateway's own knowledge says that a source is silent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use time::OffsetDateTime;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::{hook::Hook, own_events};
use crate::app::App;

const CHECK_EVERY: Duration = Duration::from_secs(1);
/// The stream is not asked more often about one source.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// The last event of a source, as far as this gateway knows; it outlives changes of the declaration.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// In microseconds since 1970; 0 if nothing is known yet.
    at: AtomicI64,
    state: std::sync::Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    asked_at: Option<Instant>,
    is_silent: bool,
    /// The last event before the silence.
    silent_since: Option<OffsetDateTime>,
}

impl Heard {
    pub(super) fn note(&self, at: OffsetDateTime) {
        let micros = i64::try_from(at.unix_timestamp_nanos() / 1000).unwrap_or_default();
        self.at.fetch_max(micros, Ordering::Relaxed);
    }

    pub(super) fn last(&self) -> Option<OffsetDateTime> {
        let micros = self.at.load(Ordering::Relaxed);
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).ok().filter(|_| micros > 0)
    }

    /// The last event before the silence, which has just begun or ended; `last` is that of now.
    fn silent_since(&self, is_silent: bool, last: OffsetDateTime) -> OffsetDateTime {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if is_silent {
            state.silent_since = Some(last);
        }
        state.silent_since.unwrap_or(last)
    }

    /// Whether the stream is to be asked, which it then is.
    fn is_due(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        let due = state.asked_at.is_none_or(|asked| now.duration_since(asked) >= ASK_EVERY);
        if due {
            state.asked_at = Some(now);
        }
        due
    }

    /// Notes whether the source is silent, and says whether that is new.
    fn turned(&self, is_silent: bool) -> bool {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::replace(&mut state.is_silent, is_silent) != is_silent
    }
}

/// Whether a source has had no event for as long as it expects; one that never had any counts from its creation.
pub(crate) fn is_silent(
    every: Option<Duration>,
    created_at: OffsetDateTime,
    last: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> bool {
    every.is_some_and(|every| now - last.unwrap_or(created_at).max(created_at) > every)
}

/// Keeps the metrics of silence right until shutdown.
pub(super) async fn follow(app: &App) {
    loop {
        for hook in app.hooks.sources.all() {
            let checks = async { tokio::join!(check(app, &hook), own_events::tell_unverified(app, &hook)) };
            if app.shutdown.run_until_cancelled(Box::pin(checks)).await.is_none() {
                return;
            }
        }
        if app.shutdown.run_until_cancelled(sleep(CHECK_EVERY)).await.is_none() {
            return;
        }
    }
}

async fn check(app: &App, hook: &Arc<Hook>) {
    let (name, heard, every) = (hook.name(), &hook.heard, hook.expects_every());
    let seems_silent = || is_silent(every, hook.created_at, heard.last(), skep_bus::now());
    if (heard.last().is_none() || seems_silent()) && heard.is_due() {
        match app.bus.events.newest(name).await {
            Ok(newest) => newest.into_iter().for_each(|at| heard.note(at)),
            // What is not known is not told.
            Err(error) => return debug!(error = error.chain(), source = %name, "the last event is not known"),
        }
    } else if seems_silent() {
        return;
    }
    if let Some(last) = heard.last() {
        app.hooks.metrics.set_last(name, last);
    }
    let silent = seems_silent();
    app.hooks.metrics.set_silent(name, every.map(|_| silent));
    match (heard.turned(silent), silent) {
        (true, true) => {
            let last = heard.last().map(|last| last.to_string());
            warn!(source = %name, last, "a source has had no event for its expect_every");
        }
        (true, false) => info!(source = %name, "a source that was silent has events again"),
        (false, _) => return,
    }
    let last = heard.last().unwrap_or(hook.created_at).max(hook.created_at);
    let since = heard.silent_since(silent, last);
    if !own_events::tell_silent(app, hook, since, !silent).await {
        // It is noticed again.
        heard.turned(!silent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_silent_when_its_last_event_or_its_creation_is_too_long_ago() {
        let at = |seconds| OffsetDateTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let minute = Some(Duration::from_secs(60));
        for (every, last, now, silent) in [
            (None, None, 1_000_000, false),
            (minute, None, 100, false),
            (minute, None, 161, true),
            (minute, Some(150), 210, false),
            (minute, Some(150), 211, true),
            // An event of a source that had this name before counts no longer than its successor is there.
            (minute, Some(50), 160, false),
        ] {
            assert_eq!(is_silent(every, at(100), last.map(at), at(now)), silent, "{every:?} {last:?} {now}");
        }
    }

    #[test]
    fn what_was_heard_last_counts_whatever_comes_later() {
        let heard = Heard::default();
        assert_eq!(heard.last(), None);
        heard.note(OffsetDateTime::UNIX_EPOCH + Duration::from_secs(9));
        heard.note(OffsetDateTime::UNIX_EPOCH + Duration::from_secs(5));
        assert_eq!(heard.last().unwrap().unix_timestamp(), 9);
        assert!(heard.is_due() && !heard.is_due());
        assert!(heard.turned(true) && !heard.turned(true) && heard.turned(false));
    }
}
