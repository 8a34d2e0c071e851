//! An event of a source: what came, how it was verified, and what was decided about it.
//!
//! It is decided once, when the event is accepted, and stored with it. What takes it further decides nothing.

mod debounce;
mod info;

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use skep_trace::Context;
use thiserror::Error;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use url::Url;

pub use self::debounce::{BurstKey, BurstKeyError, EventDebounce};
pub use self::info::{CallOfEvent, EventInfo, EventOutcome, EventReplay, HeldInfo, Replayed};
use crate::{
    Call, CallId, EventId, EventOccurrence, Fingerprint, FunctionName, HeadersTooLarge, RouteName, SourceName,
    check_headers, headers, hops, set_hops,
};

/// OpenFaaS's names for what a schedule is about and what brings its events.
const CRON_TOPIC: &str = "cron-function";
const CRON_CONNECTOR: &str = "cron-connector";

/// An event that was accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub source: SourceName,
    pub id: EventId,
    /// Its type, as `push`; empty where the source has none.
    pub kind: String,
    pub received_at: OffsetDateTime,
    pub verified: Verified,
    pub decision: Decision,
    pub method: Method,
    /// The raw path after the source's name: empty, or starting with `/`.
    pub path: String,
    /// The raw query without `?`.
    pub query: Option<String>,
    /// Who sent it; none for a program of the gateway's machine.
    pub remote: Option<IpAddr>,
    /// The sender's headers, without secrets and without those that only skep sets.
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What it is of a schedule. Its calls are planned and not routed.
    pub occurrence: Option<EventOccurrence>,
    /// The span that accepted it.
    pub trace: Option<Context>,
}

/// How it is known that an event is from whom it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub by: Proof,
    /// Which secret fitted: its number or its name.
    pub key: Option<String>,
}

/// What an event was let in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    Signature,
    Token,
    /// The source asks for nothing.
    None,
    /// It was held, and its signature was good later.
    Released,
    /// It was held, and somebody let it in although nothing proves it.
    Forced,
    /// Somebody who may administer skep has sent it as a test.
    Test,
}

/// What becomes of an event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Each makes one call.
    pub routes: Vec<EventRoute>,
    pub ignored: Vec<IgnoredRoute>,
    /// Its source was paused, so its routes wait for a replay.
    pub paused: bool,
    /// Only the router makes its calls; else the gateway may have made the only one, for the event's sender.
    pub is_routed_only: bool,
}

/// A route that an event takes: the call that it becomes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventRoute {
    /// The name of the route in its source.
    pub route: RouteName,
    pub function: FunctionName,
    /// What the function sees as its path; none is that of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Headers that the route adds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// What the function gets as its body, if it is not that of the event.
    #[serde(skip)]
    pub body: Option<Bytes>,
    /// Seconds after the event came at which its call runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<u64>,
    /// That its call waits for later events, which replace it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debounce: Option<EventDebounce>,
    /// Its call goes to a lane for functions that are called very often.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_bulk: bool,
    /// What holds for the call of the route's own function in place of its annotations on retries.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub retry: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Url>,
    /// As [`Call::steps`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<Url>>,
}

/// A route that an event does not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoredRoute {
    pub route: RouteName,
    pub reason: String,
}

#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no verdict, as signature;key=1 is one")]
pub struct InvalidVerdict(String);

impl Proof {
    pub const ALL: [Self; 6] = [Self::Signature, Self::Token, Self::None, Self::Released, Self::Forced, Self::Test];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Token => "token",
            Self::None => "none",
            Self::Released => "released",
            Self::Forced => "forced",
            Self::Test => "test",
        }
    }

    /// Whether it was held: it came long before it became an event.
    pub fn was_held(self) -> bool {
        matches!(self, Self::Released | Self::Forced)
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.by.as_str())?;
        self.key.as_ref().map_or(Ok(()), |key| write!(formatter, ";key={key}"))
    }
}

impl FromStr for Verified {
    type Err = InvalidVerdict;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (by, key) = match text.split_once(";key=") {
            Some((by, key)) => (by, Some(key.to_owned())),
            None => (text, None),
        };
        let by = Proof::ALL.into_iter().find(|proof| proof.as_str() == by);
        by.map(|by| Self { by, key }).ok_or_else(|| InvalidVerdict(text.to_owned()))
    }
}

impl EventRoute {
    /// Adds a header that the function gets.
    pub fn add_header(&mut self, name: &HeaderName, value: &HeaderValue) {
        // Each byte becomes the character of its number, for JSON has text only.
        let text = value.as_bytes().iter().map(|&byte| char::from(byte)).collect();
        self.headers.push((name.to_string(), text));
    }
}

impl Decision {
    pub fn outcome(&self) -> EventOutcome {
        match self {
            Self { paused: true, .. } => EventOutcome::Paused,
            Self { routes, .. } if routes.is_empty() => EventOutcome::Ignored,
            Self { .. } => EventOutcome::Routed,
        }
    }
}

impl Event {
    /// The id of the call that a route makes of it. A replay makes another one.
    pub fn call_id(&self, route: &RouteName, replay: Option<&str>) -> CallId {
        if let (Some(_), None) = (&self.occurrence, replay) {
            return CallId::of_occurrence(&self.source, route, &self.id);
        }
        // An id may come again when the event is no longer kept; that is another event.
        let received = self.received_at.unix_timestamp_nanos().to_string();
        CallId::of_event(&self.source, [self.id.as_str(), route.as_str(), &received, replay.unwrap_or_default()])
    }

    /// The call that a route makes of it.
    pub fn call(&self, route: &EventRoute, replay: Option<&str>, now: OffsetDateTime) -> Call {
        let call_id = self.call_id(&route.route, replay);
        let (path, method) = (route.path.as_ref().unwrap_or(&self.path).clone(), Method::POST);
        let body = route.body.as_ref().unwrap_or(&self.body).clone();
        let headers = self.call_headers(route, &call_id, replay);
        let seen = (path.as_str(), self.query.as_deref());
        let fingerprint = Fingerprint::of(&route.function, &method, seen, &headers, &body);
        Call {
            run_at: route.delay_seconds.map(|delay| after(self.received_at, delay)),
            path,
            query: self.query.clone(),
            method,
            headers,
            body: body.into(),
            callback: route.callback.clone(),
            steps: route.steps.clone(),
            retry: route.retry.clone(),
            in_bulk: route.in_bulk && replay.is_none(),
            // Who declares a source may name any function.
            callback_authorized: true,
            // A route may be taken again after its call has finished.
            has_callers_id: true,
            fingerprint: Some(fingerprint),
            // A replay is long after, and belongs to a trace of its own.
            trace: self.trace.clone().filter(|_| replay.is_none()),
            ..Call::new(call_id, route.function.clone(), now)
        }
    }

    /// Checks that the calls of all its routes can be stored.
    pub fn check_calls(&self) -> Result<(), HeadersTooLarge> {
        let check = |route: &EventRoute| {
            let headers = self.call_headers(route, &self.call_id(&route.route, None), None);
            let path = route.path.as_ref().unwrap_or(&self.path);
            check_headers(&headers, path, self.query.as_deref(), route.callback.as_ref())
        };
        self.decision.routes.iter().try_for_each(check)
    }

    /// How many hops led to it.
    pub fn hops(&self) -> u64 {
        hops(&self.headers).unwrap_or_default()
    }

    fn call_headers(&self, route: &EventRoute, call_id: &CallId, replay: Option<&str>) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.insert(headers::CALL_ID, value(call_id.as_str()));
        self.add_headers(&mut headers, route, replay);
        headers
    }

    fn add_headers(&self, headers: &mut HeaderMap, route: &EventRoute, replay: Option<&str>) {
        let (topic, connector) = match (&self.occurrence, self.kind.as_str()) {
            (Some(_), _) => (CRON_TOPIC.to_owned(), CRON_CONNECTOR),
            (None, "") => (self.source.to_string(), "skep"),
            (None, kind) => (format!("{}.{kind}", self.source), "skep"),
        };
        let received = self.received_at.format(&Rfc3339).unwrap_or_default();
        let own_headers = [
            (headers::SKEP_SOURCE, Some(self.source.as_str())),
            (headers::SKEP_EVENT_ID, Some(self.id.as_str())),
            (headers::SKEP_EVENT_TYPE, Some(self.kind.as_str()).filter(|kind| !kind.is_empty())),
            (headers::SKEP_RECEIVED_AT, Some(received.as_str())),
            (headers::SKEP_VERIFIED, Some(self.verified.by.as_str())),
            (headers::SKEP_ROUTE, Some(route.route.as_str())),
            (headers::SKEP_REPLAY, replay),
            (headers::CONNECTOR, Some(connector)),
        ];
        set_hops(headers, self.hops());
        // The topic of a source of messages goes with the route.
        headers.insert(headers::TOPIC, value(&topic));
        for (name, text) in &route.headers {
            if let (Ok(name), Ok(text)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(&bytes_of(text))) {
                headers.insert(name, text);
            }
        }
        for (name, text) in own_headers {
            // A sender's own header of this name is removed, even where skep sets none.
            headers.remove(&name);
            headers.extend(text.map(|text| (name, value(text))));
        }
        let Some(occurrence) = &self.occurrence else { return };
        let planned = occurrence.planned_at.format(&Rfc3339).unwrap_or_default();
        headers.insert(headers::SKEP_PLANNED_AT, value(&planned));
        if let Some(missed) = occurrence.missed {
            headers.insert(headers::SKEP_MISSED, missed.into());
        }
    }
}

/// A time some seconds later; there is none after the year 9999.
fn after(time: OffsetDateTime, seconds: u64) -> OffsetDateTime {
    time.saturating_add(time::Duration::seconds(seconds.cast_signed()))
}

/// The bytes of a header that [`EventRoute::add_header`] has written as text.
fn bytes_of(text: &str) -> Vec<u8> {
    text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap_or(b'?')).collect()
}

/// Names, ids and types are visible ASCII.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests;
