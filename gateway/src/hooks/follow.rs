//! `GET /system/sources/NAME/events?follow=true`: events as they come, one JSON object a line.
//!
//! The stream of events is read, and its notices say only when to read on; so nothing is missed, and `after` goes on from any place.

use std::{pin::Pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderName, header};
use serde::Serialize;
use skep_bus::{EventFilter, StoredEvent};
use skep_protocol::{EventInfo, SourceName, headers};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep},
};

use crate::{Error, Result, app::App};

/// An answer ends after this; a client that goes on asks again with `after`.
const MAX_STREAM: Duration = Duration::from_secs(3600);
/// How often the stream is read without a notice, and then how often an empty line keeps the connection.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// An event, whole.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    info: EventInfo,
    query: Option<String>,
    /// In base64.
    body: String,
}

struct Following {
    app: Arc<App>,
    source: SourceName,
    filter: EventFilter,
    after: u64,
    published: Pin<Box<dyn Stream<Item = ()> + Send>>,
    sent_at: Instant,
    _place: OwnedSemaphorePermit,
}

/// Begins behind `after`, or with the `last` events, or with what comes from now on.
pub(super) async fn follow(
    app: &Arc<App>,
    source: SourceName,
    filter: EventFilter,
    after: Option<u64>,
    last: usize,
) -> Result<Response> {
    let place = app.follower()?;
    let events = &app.require_bus().await?.events;
    let published = Box::pin(events.published(&source).await?);
    let after = match after {
        Some(after) => after,
        None if last == 0 => events.last_place().await?,
        None => {
            let page = events.list(&source, &filter, last, None).await?;
            let first = page.events.last().map(|event| event.sequence.saturating_sub(1));
            first.map_or(events.last_place().await?, |first| first)
        }
    };
    let (app, sent_at) = (Arc::clone(app), Instant::now());
    let shutdown = app.shutdown.clone();
    let following = Following { app, source, filter, after, published, sent_at, _place: place };
    let lines = stream::unfold(following, async |mut following| Some((following.next().await, following)));
    let end = async move {
        shutdown.run_until_cancelled(sleep(MAX_STREAM)).await;
    };
    let body = Body::from_stream(lines.take_until(Box::pin(end)));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

impl Following {
    /// The next line.
    async fn next(&mut self) -> Result<Bytes> {
        loop {
            // While the bus is away there is nothing to send.
            if let Ok(Some(stored)) = self.app.bus.events.next_after(&self.source, self.after).await {
                self.after = stored.sequence;
                if self.filter.admits(&stored.event) {
                    self.sent_at = Instant::now();
                    return line(&stored);
                }
                continue;
            }
            if self.sent_at.elapsed() >= KEEPALIVE_INTERVAL {
                self.sent_at = Instant::now();
                return Ok(Bytes::from_static(b"\n"));
            }
            tokio::select! {
                Some(()) = self.published.next() => {}
                () = sleep(CHECK_INTERVAL) => {}
            }
        }
    }
}

/// A signature is no secret, and a program that is tried checks it.
fn is_shown(name: &HeaderName) -> bool {
    !headers::is_secret(name) || name.as_str().contains("signature")
}

fn line(StoredEvent { event, sequence, .. }: &StoredEvent) -> Result<Bytes> {
    let mut info = EventInfo::of(event, *sequence, Some(event.body.len() as u64));
    let shown = event.headers.iter().filter(|(name, _)| is_shown(name));
    info.headers =
        shown.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect();
    let whole = Whole { info, query: event.query.clone(), body: STANDARD.encode(&event.body) };
    let mut line = serde_json::to_vec(&whole).map_err(|error| Error::InvalidRequest(error.to_string()))?;
    line.push(b'\n');
    Ok(line.into())
}
