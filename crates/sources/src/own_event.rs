//! Events of skep itself: the facts, and the event that a fact becomes for a source that wants it.
//!
//! The id of such an event follows from its fact, so two that notice the same make one event.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Map, Value, json};
use skep_protocol::{CallId, EventId, Proof, SourceName, Verified, format_duration, headers};
use skep_trace::Context;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{Event, Kept, OwnEvent, Receiver, Request, Subscribers, event_id};

/// Something about skep itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A call became a dead letter.
    Dead {
        call_id: CallId,
        function: String,
        reason: String,
        attempts: u64,
        last_status: Option<u16>,
        /// When it was accepted, or sent on its way again: a call can die more than once.
        begun_at: OffsetDateTime,
        /// Where the call belongs in a trace.
        trace: Option<Context>,
    },
    /// A callback was given up.
    Undelivered {
        call_id: CallId,
        function: String,
        reason: String,
        /// When its result was stored, or sent on its way again.
        begun_at: OffsetDateTime,
        /// Where the call belongs in a trace.
        trace: Option<Context>,
    },
    /// Requests to a source could not be verified.
    Unverified {
        source: SourceName,
        /// How many since the event before.
        count: u64,
        /// Why the last of them was not.
        reason: String,
        /// The minute in which it was noticed, since 1970.
        minute: i64,
    },
    /// A source has had no event for as long as it expects; `over` says that it has events again.
    Silent {
        source: SourceName,
        expect_every: Duration,
        /// The last event before the silence, or the creation of the source.
        since: OffsetDateTime,
        over: bool,
    },
    /// Occurrences of a schedule passed that nobody could plan or fire.
    ScheduleMissed {
        source: SourceName,
        count: u64,
        first: OffsetDateTime,
        last: OffsetDateTime,
        /// How many of them run late; never all of them.
        run: u64,
    },
    /// A stream, or what the NATS server may store, is nearly full.
    Disk {
        /// The name of the stream, or `storage`.
        what: String,
        bytes: u64,
        limit: u64,
        /// The threshold that was passed, in percent.
        percent: u64,
        /// The day on which it was noticed, since 1970.
        day: i64,
    },
}

impl Fact {
    pub fn kind(&self) -> OwnEvent {
        match self {
            Self::Dead { .. } => OwnEvent::Dead,
            Self::Undelivered { .. } => OwnEvent::Undelivered,
            Self::Unverified { .. } => OwnEvent::Unverified,
            Self::Silent { .. } => OwnEvent::Silent,
            Self::ScheduleMissed { .. } => OwnEvent::ScheduleMissed,
            Self::Disk { .. } => OwnEvent::Disk,
        }
    }

    /// The context of the call that it is about.
    pub fn trace(&self) -> Option<&Context> {
        match self {
            Self::Dead { trace, .. } | Self::Undelivered { trace, .. } => trace.as_ref(),
            _ => None,
        }
    }

    /// What names the event in each source.
    pub fn id(&self) -> EventId {
        let (what, of) = match self {
            Self::Dead { call_id, begun_at, .. } | Self::Undelivered { call_id, begun_at, .. } => {
                (call_id.to_string(), begun_at.unix_timestamp_nanos() / 1000)
            }
            Self::Unverified { source, minute, .. } => (source.to_string(), (*minute).into()),
            Self::Silent { source, since, .. } => (source.to_string(), since.unix_timestamp_nanos() / 1000),
            Self::ScheduleMissed { source, first, .. } => (source.to_string(), first.unix_timestamp().into()),
            Self::Disk { what, percent, day, .. } => (format!("{what}-{percent}"), (*day).into()),
        };
        let end = if matches!(self, Self::Silent { over: true, .. }) { "-over" } else { "" };
        event_id::of_own(&format!("{}-{what}-{of}{end}", self.kind()))
    }

    /// What the function gets, beside the kind and the time.
    fn facts(&self) -> Value {
        match self {
            Self::Dead { call_id, function, reason, attempts, last_status, .. } => json!({
                "callId": call_id, "function": function, "reason": reason,
                "attempts": attempts, "lastStatus": last_status,
            }),
            Self::Undelivered { call_id, function, reason, .. } => {
                json!({ "callId": call_id, "function": function, "reason": reason })
            }
            Self::Unverified { source, count, reason, .. } => {
                json!({ "source": source, "count": count, "reason": reason })
            }
            Self::Silent { source, expect_every, since, over } => json!({
                "source": source, "expectEvery": format_duration(*expect_every), "since": written(*since), "over": over,
            }),
            Self::ScheduleMissed { source, count, first, last, run } => json!({
                "source": source, "count": count, "first": written(*first), "last": written(*last), "run": run,
            }),
            Self::Disk { what, bytes, limit, percent, .. } => {
                json!({ "what": what, "bytes": bytes, "limit": limit, "percent": percent })
            }
        }
    }

    /// One line for people.
    fn text(&self) -> String {
        match self {
            Self::Dead { call_id, function, reason, .. } => format!("call {call_id} of {function} died: {reason}"),
            Self::Undelivered { call_id, function, reason, .. } => {
                format!("the callback of call {call_id} of {function} was given up: {reason}")
            }
            Self::Unverified { source, count: 1, reason, .. } => {
                format!("source {source} could not verify a request: {reason}")
            }
            Self::Unverified { source, count, reason, .. } => {
                format!("source {source} could not verify {count} requests; the last one: {reason}")
            }
            Self::Silent { source, over: true, .. } => format!("source {source} has events again"),
            Self::Silent { source, expect_every, since, .. } => format!(
                "source {source} has had no event since {}, and expects one every {}",
                written(*since),
                format_duration(*expect_every)
            ),
            Self::ScheduleMissed { source, count: 1, first, .. } => {
                format!("schedule {source} missed the occurrence of {}, which does not run", written(*first))
            }
            Self::ScheduleMissed { source, count, first, last, run } => format!(
                "schedule {source} missed {count} occurrences from {} to {}; {} of them run late",
                written(*first),
                written(*last),
                if *run == 0 { "none".to_owned() } else { run.to_string() }
            ),
            Self::Disk { what, bytes, limit, percent, .. } => {
                format!("{what} is {percent} % full or more: {bytes} of {limit} bytes")
            }
        }
    }

    fn body(&self, at: OffsetDateTime) -> Bytes {
        let mut body = Map::new();
        body.insert("event".to_owned(), self.kind().as_str().into());
        body.insert("at".to_owned(), written(at).into());
        body.insert("text".to_owned(), self.text().into());
        if let Value::Object(facts) = self.facts() {
            body.extend(facts);
        }
        Value::Object(body).to_string().into()
    }
}

impl Receiver {
    /// The event that a fact is for this source, as it is stored.
    pub fn own_event(
        &self,
        fact: &Fact,
        at: OffsetDateTime,
        paused: bool,
        subscribers: &Subscribers<'_>,
    ) -> skep_protocol::Event {
        let body = fact.body(at);
        let headers = HeaderMap::from_iter([
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            // It goes with every call that the event makes, and with those that these make as their callbacks.
            (headers::SKEP_OWN_EVENT, HeaderValue::from_static("true")),
        ]);
        let request =
            Request { method: &Method::POST, path: "", query: None, headers: &headers, body: &body, received_at: at };
        let event_type = Some(fact.kind().as_str().to_owned());
        let event = Event { request, id: fact.id(), event_type, verified: Proof::None };
        let kept = Kept {
            headers: headers.clone(),
            query: None,
            body: body.clone(),
            verified: Verified { by: Proof::None, key: None },
            remote: None,
            paused,
        };
        self.decided(&event, kept, subscribers)
    }
}

fn written(at: OffsetDateTime) -> String {
    at.to_offset(time::UtcOffset::UTC).format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use skep_protocol::DefaultNamespace;

    use super::*;
    use crate::Defaults;

    fn dead(call_id: &str, begun: i64) -> Fact {
        Fact::Dead {
            call_id: call_id.parse().unwrap(),
            function: "resize".to_owned(),
            reason: "the function answered 500".to_owned(),
            attempts: 3,
            last_status: Some(500),
            begun_at: OffsetDateTime::from_unix_timestamp(begun).unwrap(),
            trace: None,
        }
    }

    #[test]
    fn one_request_is_not_many() {
        let unverified = |count| Fact::Unverified {
            source: "github".parse().unwrap(),
            count,
            reason: "no signature".to_owned(),
            minute: 1,
        };
        assert_eq!(unverified(1).text(), "source github could not verify a request: no signature");
        assert!(unverified(2).text().starts_with("source github could not verify 2 requests; the last one"));
    }

    #[test]
    fn an_id_follows_from_the_fact_and_nothing_else() {
        assert_eq!(dead("order-17", 1).id().as_str(), "dead-order-17-1000000");
        assert_ne!(dead("order-17", 1).id(), dead("order-17", 2).id());
        let long = "x".repeat(128);
        assert_eq!(dead(&long, 1).id(), dead(&long, 1).id());
        assert_ne!(dead(&long, 1).id(), dead(&long, 2).id());
        let silent = |over| Fact::Silent {
            source: "github".parse().unwrap(),
            expect_every: Duration::from_secs(60),
            since: OffsetDateTime::UNIX_EPOCH,
            over,
        };
        assert_eq!(silent(false).id().as_str(), "silent-github-0");
        assert_eq!(silent(true).id().as_str(), "silent-github-0-over");
    }

    #[test]
    fn it_takes_routes_as_any_event_and_carries_the_mark() {
        let spec = json!({
            "skep": ["dead", "disk"],
            "routes": [{ "to": "alert", "filter": { "type": "dead", "body.attempts": { "gt": 1 } } }, { "to": "other", "filter": { "type": "disk" } }],
        });
        let name = "platform".parse().unwrap();
        let receiver = Receiver::from_spec(name, &spec, &Defaults::new(&DefaultNamespace::default())).unwrap();
        let event = receiver.own_event(&dead("order-17", 1), OffsetDateTime::UNIX_EPOCH, false, &|_| Vec::new());
        assert_eq!((event.decision.routes.len(), event.decision.ignored.len()), (1, 1));
        let body: Value = serde_json::from_slice(&event.body).unwrap();
        assert_eq!(
            (&body["event"], &body["callId"], &body["lastStatus"]),
            (&json!("dead"), &json!("order-17"), &json!(500))
        );
        assert_eq!(body["text"], "call order-17 of resize died: the function answered 500");
        let call = event.call(&event.decision.routes[0], Some("again"), OffsetDateTime::UNIX_EPOCH);
        assert!(call.headers.contains_key(headers::SKEP_OWN_EVENT), "{:?}", call.headers);
    }
}
