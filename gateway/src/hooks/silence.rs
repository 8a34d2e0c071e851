//! When a source had its last event, and whether that is longer ago than it expects.
//!
//! The stream of events knows it for all gateways. It is asked about a source only after it has grown, so sources without events cost nothing.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use skep_protocol::SourceName;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::{hook::Hook, own_events};
use crate::app::App;

const CHECK_EVERY: Duration = Duration::from_secs(1);
/// The stream is asked whether it has grown, and about one source, at most this often.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// The same for a source whose last event is known, and that is not silent.
const ASK_AGAIN_EVERY: Duration = Duration::from_secs(60);
/// The sources that do not seem silent and that the stream is asked about in one check.
const MAX_ASKED: usize = 5;

type Known = HashMap<SourceName, Arc<Hook>>;

/// The last event of a source, as far as this gateway knows; it outlives changes of the declaration.
#[derive(Debug, Default)]
pub(super) struct LastEvent {
    /// In microseconds since 1970; 0 if nothing is known yet.
    at: AtomicI64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    asked: Option<Asked>,
    /// As it was reported last; `None` if no event is expected.
    is_silent: Option<bool>,
    /// The last event before the silence.
    silent_since: Option<OffsetDateTime>,
}

/// When the stream was asked about a source, and the place of its last event then.
#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Instant,
    place: u64,
}

impl LastEvent {
    pub(super) fn note(&self, at: OffsetDateTime) {
        let micros = i64::try_from(at.unix_timestamp_nanos() / 1000).unwrap_or_default();
        self.at.fetch_max(micros, Ordering::Relaxed);
    }

    pub(super) fn at(&self) -> Option<OffsetDateTime> {
        let micros = self.at.load(Ordering::Relaxed);
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).ok().filter(|_| micros > 0)
    }

    /// The last event before the silence, which has just begun or ended; `last` is that of now.
    fn silent_since(&self, is_silent: bool, last: OffsetDateTime) -> OffsetDateTime {
        let mut state = self.state();
        if is_silent {
            state.silent_since = Some(last);
        }
        state.silent_since.unwrap_or(last)
    }

    fn is_silent(&self) -> bool {
        self.state().is_silent == Some(true)
    }

    /// When the stream was asked about it last.
    fn asked_at(&self) -> Option<Instant> {
        self.state().asked.map(|asked| asked.at)
    }

    /// Whether the stream was asked about it since it has had an event at this place.
    fn is_known_up_to(&self, place: u64) -> bool {
        self.state().asked.map_or(0, |asked| asked.place) >= place
    }

    /// Notes whether the source is silent, and says what was noted before.
    fn turn(&self, is_silent: Option<bool>) -> Option<bool> {
        std::mem::replace(&mut self.state().is_silent, is_silent)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
    let mut stream = EventStream::default();
    loop {
        let known = Arc::clone(&app.hooks.sources.changes().borrow());
        let checks = Box::pin(check_all(app, &known, &mut stream));
        if app.shutdown.run_until_cancelled(checks).await.is_none()
            || app.shutdown.run_until_cancelled(sleep(CHECK_EVERY)).await.is_none()
        {
            return;
        }
    }
}

/// What is known of the stream of events.
#[derive(Default)]
struct EventStream(Option<Asked>);

impl EventStream {
    /// The place of the last event, not older than this; `None` if the stream does not answer.
    async fn last_place(&mut self, app: &App, max_age: Duration) -> Option<u64> {
        let at = Instant::now();
        if let Some(asked) = self.0.filter(|asked| at.duration_since(asked.at) < max_age) {
            return Some(asked.place);
        }
        let place = app.bus.events.last_place().await;
        let place =
            place.inspect_err(|error| debug!(error = error.chain(), "the place of the last event is not known"));
        self.0 = place.ok().map(|place| Asked { at, place });
        self.0.map(|asked| asked.place)
    }
}

async fn check_all(app: &App, known: &Known, stream: &mut EventStream) {
    let now = skep_bus::now();
    let is_turning = known.values().any(|hook| seems_silent(hook, now) && !hook.last_event.is_silent());
    let place = stream.last_place(app, if is_turning { Duration::ZERO } else { ASK_EVERY }).await;
    if let Some(place) = place {
        for hook in to_ask(known, place, now) {
            ask(app, hook, place).await;
        }
    }
    for hook in known.values() {
        own_events::report_unverified(app, hook).await;
        // Silence is reported only of sources whose last event is known.
        let is_known = place.is_some_and(|place| hook.last_event.is_known_up_to(place));
        if is_known || !seems_silent(hook, now) {
            check(app, hook, now).await;
        }
    }
}

fn seems_silent(hook: &Hook, now: OffsetDateTime) -> bool {
    is_silent(hook.expects_every(), hook.created_at, hook.last_event.at(), now)
}

/// The sources about which the stream is asked now: all that seem silent, and of the others a few that it was asked about longest ago.
fn to_ask(known: &Known, place: u64, now: OffsetDateTime) -> Vec<&Hook> {
    let (mut all, mut others) = (Vec::new(), Vec::new());
    for hook in known.values().filter(|hook| !hook.last_event.is_known_up_to(place)) {
        let (asked_at, is_urgent) = (hook.last_event.asked_at(), seems_silent(hook, now));
        let pause = if is_urgent || hook.last_event.at().is_none() { ASK_EVERY } else { ASK_AGAIN_EVERY };
        if asked_at.is_none_or(|at| at.elapsed() >= pause) {
            let asked = if is_urgent { &mut all } else { &mut others };
            asked.push((asked_at, &**hook));
        }
    }
    others.sort_unstable_by_key(|(asked_at, _)| *asked_at);
    others.truncate(MAX_ASKED);
    all.into_iter().chain(others).map(|(_, hook)| hook).collect()
}

async fn ask(app: &App, hook: &Hook, place: u64) {
    let (name, last_event) = (hook.name(), &hook.last_event);
    let at = Instant::now();
    match app.bus.events.newest(name).await {
        Ok(newest) => {
            last_event.state().asked = Some(Asked { at, place });
            newest.into_iter().for_each(|at| last_event.note(at));
            last_event.at().into_iter().for_each(|last| app.hooks.metrics.set_last(name, last));
        }
        Err(error) => debug!(error = error.chain(), source = %name, "the last event is not known"),
    }
}

async fn check(app: &App, hook: &Hook, now: OffsetDateTime) {
    let (name, last_event) = (hook.name(), &hook.last_event);
    let silent = hook.expects_every().map(|_| seems_silent(hook, now));
    let before = last_event.turn(silent);
    if before == silent {
        return;
    }
    app.hooks.metrics.set_silent(name, silent);
    let is_over = match (before, silent) {
        (_, Some(true)) => {
            let last = last_event.at().map(|last| last.to_string());
            warn!(source = %name, last, "a source has had no event for its expect_every");
            false
        }
        (Some(true), Some(false)) => {
            info!(source = %name, "a source that was silent has events again");
            true
        }
        _ => return,
    };
    let last = last_event.at().unwrap_or(hook.created_at).max(hook.created_at);
    let since = last_event.silent_since(!is_over, last);
    if !own_events::report_silent(app, hook, since, is_over).await {
        // It is noticed again.
        last_event.turn(before);
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
    fn the_newest_event_counts_whichever_is_noted_last() {
        let last_event = LastEvent::default();
        assert_eq!(last_event.at(), None);
        last_event.note(OffsetDateTime::UNIX_EPOCH + Duration::from_secs(9));
        last_event.note(OffsetDateTime::UNIX_EPOCH + Duration::from_secs(5));
        assert_eq!(last_event.at().unwrap().unix_timestamp(), 9);
    }

    #[test]
    fn the_stream_is_asked_about_a_source_only_after_it_has_grown() {
        let last_event = LastEvent::default();
        assert!(last_event.is_known_up_to(0), "nothing was ever stored");
        assert!(!last_event.is_known_up_to(7));
        let at = Instant::now();
        last_event.state().asked = Some(Asked { at, place: 7 });
        assert!(last_event.is_known_up_to(7) && !last_event.is_known_up_to(8));
        assert_eq!(last_event.asked_at(), Some(at));
    }
}
