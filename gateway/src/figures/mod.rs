//! `/system/stats`: the figures of the whole installation, as the controller publishes them each second.
//!
//! Each gateway keeps the newest ones, and those of the last hour, so that a page that opens has a past at once.

mod history;
mod rows;
mod view;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Extension, Json,
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures_util::{StreamExt, stream};
use http::header;
use serde::Deserialize;
use skep_dispatch::Function;
use skep_protocol::Stats as Second;
use time::OffsetDateTime;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, broadcast::error::RecvError, watch},
    time::{sleep, timeout},
};

use self::{
    history::Span,
    rows::{Deployed, Rows, Shared},
    view::View,
};
use crate::{Error, Result, Routes, app::App, auth::Caller, input::Queried};

/// Streams at once at one gateway; they are apart from those of calls and logs, so neither shuts the other out.
const MAX_WATCHERS: usize = 64;
const MAX_STREAM: Duration = Duration::from_secs(3600);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Without anything from the controller, the registry is looked at this often.
const LOOK_INTERVAL: Duration = Duration::from_millis(1500);

pub(crate) fn routes() -> Routes {
    vec![
        ("/system/stats", get(now)),
        ("/system/stats/stream", get(follow_by_events)),
        ("/system/stats/history", get(past)),
    ]
}

/// What a gateway has of the figures, and those who look at them.
pub(crate) struct Figures {
    rows: Mutex<Rows>,
    shared: Mutex<Shared>,
    turns: watch::Sender<u64>,
    watchers: Arc<Semaphore>,
}

impl Figures {
    pub(crate) fn new() -> Self {
        Self {
            rows: Mutex::new(Rows::new(OffsetDateTime::now_utc())),
            shared: Mutex::default(),
            turns: watch::Sender::new(0),
            watchers: Arc::new(Semaphore::new(MAX_WATCHERS)),
        }
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a second if one came, and looks at the registry.
    fn take(&self, app: &App, second: Option<&Second>) {
        let deployed = app.dispatch.registry().all().iter().map(|function| deployed(function)).collect();
        let (has_nats, now) = (app.bus.connection.is_connected(), Instant::now());
        let mut rows = self.rows();
        if let Some(second) = second {
            rows.take(second, now);
        }
        rows.compare(deployed, has_nats, now, OffsetDateTime::now_utc());
        drop(rows);
        self.turns.send_modify(|turn| *turn += 1);
    }

    /// The text of what has changed since a turn, and the turn after it.
    fn since(&self, app: &App, caller: &Caller, turn: Option<u64>) -> (u64, Arc<str>) {
        let rows = self.rows();
        if !caller.is_limited() {
            return self.shared.lock().unwrap_or_else(PoisonError::into_inner).get(&rows, turn);
        }
        let view = view_of(&rows, app, caller, turn);
        (view.turn, serde_json::to_string(&view).unwrap_or_default().into())
    }
}

/// What a caller who is limited to namespaces may see.
fn view_of(rows: &Rows, app: &App, caller: &Caller, turn: Option<u64>) -> View {
    let default = app.bus.connection.default_namespace();
    let may_see =
        |name: &str| app.named(name, "").is_ok_and(|function| caller.require_function(&function, default).is_ok());
    rows.since(turn, may_see, caller.is_limited())
}

fn deployed(function: &Function) -> Deployed {
    Deployed {
        name: function.name.to_string(),
        replicas: function.record.replicas,
        ready: function.replicas() as u64,
        problem: function.record.problem.clone(),
    }
}

/// Takes what the controller publishes, until the gateway stops.
pub(crate) async fn follow(app: &App) {
    let mut seconds = app.stats.follow();
    let taken = async {
        loop {
            match timeout(LOOK_INTERVAL, seconds.recv()).await {
                Ok(Ok(second)) => app.figures.take(app, Some(&second)),
                // The next one has everything that is still so.
                Ok(Err(RecvError::Lagged(_))) => {}
                Ok(Err(RecvError::Closed)) => return,
                Err(_) => app.figures.take(app, None),
            }
        }
    };
    app.shutdown.run_until_cancelled(taken).await;
}

async fn now(State(app): State<Arc<App>>, caller: Extension<Caller>) -> Response {
    let (_, text) = app.figures.since(&app, &caller, None);
    ([(header::CONTENT_TYPE, "application/json")], text.to_string()).into_response()
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    function: Option<String>,
    #[serde(default)]
    span: Span,
}

/// The last 15 minutes or the last hour of a function, or of all.
async fn past(State(app): State<Arc<App>>, Queried(wanted): Queried<Wanted>) -> Result<Response> {
    let Wanted { function, span } = wanted;
    let function = function.filter(|name| !name.is_empty());
    let name = function.map(|name| app.named(&name, "")).transpose()?.map(|name| name.to_string());
    let columns = app.figures.rows().history.of(name.as_deref(), span);
    Ok(Json(columns).into_response())
}

/// All functions first, and then each second those that have changed, as server-sent events.
async fn follow_by_events(State(app): State<Arc<App>>, caller: Extension<Caller>) -> Result<Response> {
    let place =
        Arc::clone(&app.figures.watchers).try_acquire_owned().map_err(|_| Error::TooManyWatchers(MAX_WATCHERS))?;
    let turns = app.figures.turns.subscribe();
    let Extension(caller) = caller;
    let watcher = Watcher { app: Arc::clone(&app), caller, turns, seen: None, _place: place };
    let events = stream::unfold(watcher, async |mut watcher| Some((watcher.next().await?, watcher)));
    let shutdown = app.shutdown.clone();
    let end = Box::pin(async move {
        shutdown.run_until_cancelled(sleep(MAX_STREAM)).await;
    });
    Ok(Sse::new(events.take_until(end)).keep_alive(KeepAlive::new().interval(KEEPALIVE_INTERVAL)).into_response())
}

/// Somebody who follows the figures. One that reads slowly misses turns, and never what has changed.
struct Watcher {
    app: Arc<App>,
    caller: Caller,
    turns: watch::Receiver<u64>,
    seen: Option<u64>,
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    async fn next(&mut self) -> Option<std::result::Result<Event, axum::Error>> {
        if self.seen.is_some() {
            self.turns.changed().await.ok()?;
        }
        self.turns.mark_unchanged();
        let (turn, text) = self.app.figures.since(&self.app, &self.caller, self.seen);
        self.seen = Some(turn);
        Some(Ok(Event::default().data(&*text)))
    }
}
