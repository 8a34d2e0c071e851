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
use skep_protocol::{CallEvent, CallId, CallNews, Step};
use time::OffsetDateTime;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
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

/// The steps of all calls, or of one function's, from now on.
async fn all(State(app): State<Arc<App>>, Queried(wanted): Queried<Wanted>) -> Result<Response> {
    let function = wanted.function.as_deref().map(|name| app.named(name, "")).transpose()?;
    let place = app.follower()?;
    let mut news = Box::pin(app.require_bus().await?.calls.news(function.as_ref()).await?);
    let (sender, receiver) = mpsc::channel::<CallNews>(MAX_WAITING);
    let shutdown = app.shutdown.clone();
    // What is heard is taken at once, so that no bodies of calls pile up.
    app.tasks.spawn(async move {
        let _place = place;
        loop {
            let next = tokio::select! {
                next = news.next() => next,
                () = sender.closed() => return,
                () = shutdown.cancelled() => return,
            };
            let Some(next) = next else { return };
            if sender.try_send(next).is_err() {
                return;
            }
        }
    });
    let events = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    Ok(answer(&app, events.map(|news| written(news.event.event, &news))))
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
        told: HashSet::new(),
        to_tell: VecDeque::new(),
        has_ended: false,
        _place: place,
    };
    following.check().await?;
    let events = stream::unfold(following, async |mut following| Some((following.next().await?, following)));
    Ok(answer(&app, events.map(|event| written(event.event, &event))))
}

/// A call that someone follows.
struct Following {
    app: Arc<App>,
    id: CallId,
    changes: Pin<Box<dyn Stream<Item = ()> + Send>>,
    told: HashSet<(OffsetDateTime, Step)>,
    to_tell: VecDeque<CallEvent>,
    has_ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Following {
    async fn next(&mut self) -> Option<CallEvent> {
        loop {
            if let Some(event) = self.to_tell.pop_front() {
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
                // While the bus is away there is nothing to tell.
                Ok(()) | Err(Error::Bus(_) | Error::Disconnected) => {}
                Err(_) => return None,
            }
        }
    }

    async fn check(&mut self) -> Result<()> {
        let details = calls::details_of(&self.app, &self.id).await?;
        self.has_ended = details.status.state.is_final();
        let told = &mut self.told;
        self.to_tell.extend(details.timeline.into_iter().filter(|event| told.insert((event.at, event.event))));
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

fn written(step: Step, event: &impl Serialize) -> Result<Event, axum::Error> {
    Event::default().event(step.as_str()).json_data(event)
}
