//! `/system/events` and `/system/calls/{id}/events`: events of calls as they happen, as server-sent events.
//!
//! A stream ends when its call does, after an hour, or when this gateway stops; a client that goes on asks again.

use std::{
    collections::{HashSet, VecDeque},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use skep_protocol::{CallEvent, CallId, CallNews, FunctionName, ScaleChange, Stats, Step};
use time::OffsetDateTime;
use tokio::{
    sync::{OwnedSemaphorePermit, broadcast::error::RecvError, mpsc},
    time::sleep,
};

use crate::{
    Error, Result, Routes,
    app::App,
    calls,
    input::{Queried, Segment},
};

const MAX_STREAM: Duration = Duration::from_secs(3600);
/// How often a silent stream sends a keepalive.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// The start of a call is not stored, so it is checked for.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// A published event is stored a little later.
const STORE_DELAY: Duration = Duration::from_millis(10);
/// Steps that wait for a client that reads slowly; one that is slower still is cut off.
const MAX_WAITING: usize = 1024;

pub(crate) fn routes() -> Routes {
    vec![("/system/events", get(all)), ("/system/calls/{id}/events", get(of_call))]
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    function: Option<String>,
}

/// What is sent of all calls and functions.
enum News {
    Call(Box<CallNews>),
    Scaled(Box<Scaled>),
}

/// The number of replicas of a function was changed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Scaled {
    event: &'static str,
    function: String,
    #[serde(flatten)]
    change: ScaleChange,
}

/// The steps of all calls and changes of replicas, or of one function's, from now on.
async fn all(State(app): State<Arc<App>>, Queried(wanted): Queried<Wanted>) -> Result<Response> {
    let function = wanted.function.as_deref().map(|name| app.named(name, "")).transpose()?;
    let place = app.follower()?;
    let mut news = Box::pin(app.require_bus().await?.calls.news(function.as_ref()).await?);
    let (sender, receiver) = mpsc::channel::<News>(MAX_WAITING);
    let shutdown = app.shutdown.clone();
    let mut seconds = app.stats.follow();
    // Messages are taken at once, so that no bodies of calls pile up.
    app.tasks.spawn(async move {
        let _place = place;
        loop {
            let next = tokio::select! {
                next = news.next() => match next {
                    Some(next) => vec![News::Call(Box::new(next))],
                    None => return,
                },
                second = seconds.recv() => match second {
                    Ok(second) => changes_of(&second, function.as_ref()),
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return,
                },
                () = sender.closed() => return,
                () = shutdown.cancelled() => return,
            };
            for news in next {
                if sender.try_send(news).is_err() {
                    return;
                }
            }
        }
    });
    let events = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    Ok(answer(
        &app,
        events.map(|news| match news {
            News::Call(news) => written(news.event.event.as_str(), &news),
            News::Scaled(news) => written(news.event, &news),
        }),
    ))
}

/// The functions of which the number of replicas has changed.
fn changes_of(second: &Stats, wanted: Option<&FunctionName>) -> Vec<News> {
    let functions = second.functions.iter().filter(|function| wanted.is_none_or(|wanted| *wanted == function.name));
    let changed = functions.filter_map(|function| {
        let (function, change) = (function.name.to_string(), function.scaled.clone()?);
        Some(News::Scaled(Box::new(Scaled { event: "scaled", function, change })))
    });
    changed.collect()
}

/// The steps of one call, from the first one to its end.
async fn of_call(State(app): State<Arc<App>>, Segment(id): Segment) -> Result<Response> {
    let id: CallId = id.parse()?;
    let place = app.follower()?;
    let changes = Box::pin(app.require_bus().await?.calls.changes_of(&id).await?);
    let mut following = Following {
        app: Arc::clone(&app),
        id,
        changes,
        sent: HashSet::new(),
        to_send: VecDeque::new(),
        has_ended: false,
        _place: place,
    };
    following.check().await?;
    let events = stream::unfold(following, async |mut following| Some((following.next().await?, following)));
    Ok(answer(&app, events.map(|event| written(event.event.as_str(), &event))))
}

/// A call that someone follows.
struct Following {
    app: Arc<App>,
    id: CallId,
    changes: Pin<Box<dyn Stream<Item = ()> + Send>>,
    sent: HashSet<(OffsetDateTime, Step)>,
    to_send: VecDeque<CallEvent>,
    has_ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Following {
    async fn next(&mut self) -> Option<CallEvent> {
        loop {
            if let Some(event) = self.to_send.pop_front() {
                return Some(event);
            }
            if self.has_ended {
                return None;
            }
            tokio::select! {
                Some(()) = self.changes.next() => sleep(STORE_DELAY).await,
                () = sleep(CHECK_INTERVAL) => {}
            }
            match self.check().await {
                // While the bus is away there is nothing to send.
                Ok(()) | Err(Error::Bus(_) | Error::Disconnected) => {}
                Err(_) => return None,
            }
        }
    }

    async fn check(&mut self) -> Result<()> {
        let details = calls::details_of(&self.app, &self.id).await?;
        self.has_ended = details.status.state.is_final();
        let sent = &mut self.sent;
        self.to_send.extend(details.timeline.into_iter().filter(|event| sent.insert((event.at, event.event))));
        Ok(())
    }
}

fn answer(app: &App, events: impl Stream<Item = Result<Event, axum::Error>> + Send + 'static) -> Response {
    let shutdown = app.shutdown.clone();
    let end = async move {
        shutdown.run_until_cancelled(sleep(MAX_STREAM)).await;
    };
    Sse::new(events.take_until(Box::pin(end))).keep_alive(KeepAlive::new().interval(KEEPALIVE_INTERVAL)).into_response()
}

fn written(name: &str, event: &impl Serialize) -> Result<Event, axum::Error> {
    Event::default().event(name).json_data(event)
}
