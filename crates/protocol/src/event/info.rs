//! Events and held requests in the form of the API.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Event, IgnoredRoute};
use crate::{CallId, CallState, EventId, FunctionName, RouteName, SourceName};

/// What became of an event when it was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EventOutcome {
    /// It made calls.
    Routed,
    /// No route wanted it.
    Ignored,
    /// Its source was paused.
    Paused,
}

/// An event without its body.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventInfo {
    pub source: SourceName,
    pub id: EventId,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(with = "time::serde::rfc3339")]
    pub received_at: OffsetDateTime,
    /// As `signature;key=1`.
    pub verified: String,
    pub outcome: EventOutcome,
    pub calls: Vec<CallOfEvent>,
    pub ignored: Vec<IgnoredRoute>,
    pub method: String,
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The length of its body, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Its place in the stream of events.
    pub sequence: u64,
    /// The calls that replays have made of it, the oldest first, where one event is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replays: Vec<EventReplay>,
}

/// A call that a route made of an event.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallOfEvent {
    pub route: RouteName,
    pub function: FunctionName,
    pub call_id: CallId,
    /// Its state, where one event is asked for and its call is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<CallState>,
}

/// A call that a replay has made of an event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventReplay {
    /// The id of the replay.
    pub replay: String,
    /// When it was queued.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    #[serde(flatten)]
    pub call: CallOfEvent,
}

/// A request that could not be verified.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldInfo {
    pub source: SourceName,
    /// What names it in its source: `refused-7` or `held-7`.
    pub id: String,
    #[serde(with = "time::serde::rfc3339")]
    pub received_at: OffsetDateTime,
    /// Why it was not let in.
    pub reason: String,
    pub method: String,
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<IpAddr>,
    /// The length of its body as it came.
    pub bytes: u64,
    /// Whether its body is kept as it came.
    pub whole: bool,
    pub sha256: String,
    /// What would make it fit, in words, where that is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
}

/// How far a replay has come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// Its id: asked for again with this one, it makes no call twice.
    pub replay: String,
    /// Events that were looked at and meant.
    pub events: u64,
    /// Calls that were queued, or would be.
    pub calls: Vec<CallOfEvent>,
    /// The place to go on from, if it is not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

impl EventInfo {
    /// All but the headers, and without the states of its calls.
    pub fn of(event: &Event, sequence: u64, bytes: Option<u64>) -> Self {
        let calls = event.decision.routes.iter().map(|route| CallOfEvent {
            call_id: event.call_id(&route.route, None),
            route: route.route.clone(),
            function: route.function.clone(),
            state: None,
        });
        Self {
            source: event.source.clone(),
            id: event.id.clone(),
            kind: event.kind.clone(),
            received_at: event.received_at,
            verified: event.verified.to_string(),
            outcome: event.decision.outcome(),
            // A paused event has made none yet.
            calls: if event.decision.paused { Vec::new() } else { calls.collect() },
            ignored: event.decision.ignored.clone(),
            method: event.method.to_string(),
            path: event.path.clone(),
            remote: event.remote,
            headers: Vec::new(),
            bytes,
            sequence,
            replays: Vec::new(),
        }
    }
}
