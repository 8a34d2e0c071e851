//! A message becomes an event, or several of a batch: decided here, once, and stored with that.

use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{HeaderMap, HeaderValue, Method, header};
use skep_bus::{Error, Result, Submitted, TopicMessage};
use skep_protocol::{Event, EventId, EventOutcome, IgnoredRoute, Proof, Verified, headers, hops, set_hops};
use skep_sources::{Kept, Receiver, Request};
use skep_trace::Span;
use tracing::debug;

use super::source::TopicSource;
use crate::{Worker, metrics::MessageOutcome, spans};

impl Worker {
    /// Stores the events of a message, and returns when all of them are stored; `id` names the event if nothing else does.
    pub(super) async fn take_message(
        &self,
        source: &TopicSource,
        message: &TopicMessage,
        id: Option<&str>,
    ) -> Result<Vec<EventId>> {
        let Some(receiver) = &source.receiver else {
            return Err(Error::unavailable("the declaration of the source cannot be used"));
        };
        if message.left_out > 0 {
            debug!(source = %source.name, left_out = message.left_out, "headers of a message were left out");
        }
        let events = self.decide(receiver, source.is_paused, message, id);
        let stored = try_join_all(events.iter().map(|event| self.bus.events.store(event, receiver.keep()))).await;
        let stored = stored.inspect_err(|_| self.metrics.count_message(&source.name, MessageOutcome::Failed))?;
        for (event, submitted) in events.iter().zip(stored) {
            let outcome = match (submitted, event.decision.outcome()) {
                (Submitted::Duplicate, _) => MessageOutcome::Duplicate,
                (Submitted::Accepted, EventOutcome::Ignored) => MessageOutcome::Ignored,
                (Submitted::Accepted, EventOutcome::Routed | EventOutcome::Paused) => MessageOutcome::Accepted,
            };
            self.metrics.count_message(&source.name, outcome);
            if outcome == MessageOutcome::Duplicate {
                self.bus.events.note_duplicate(&source.name, &event.id).await;
            }
        }
        Ok(events.into_iter().map(|event| event.id).collect())
    }

    fn decide(&self, receiver: &Receiver, paused: bool, message: &TopicMessage, id: Option<&str>) -> Vec<Event> {
        let mut given = message.headers.clone();
        let incoming = self.config.tracer.published(&mut given);
        let span = spans::topic(&self.config.tracer, &incoming, receiver.name());
        let trace = span.as_ref().map(Span::context).or(incoming.parent.as_ref());
        if let Some(hops) = message.hops {
            set_hops(&mut given, hops.saturating_add(1));
        }
        let topic = receiver.kind().topic_of(&message.subject);
        if let Ok(topic) = HeaderValue::from_bytes(topic.as_bytes()) {
            given.insert(headers::TOPIC, topic);
        }
        let request = Request {
            method: &Method::POST,
            path: "",
            query: None,
            headers: &given,
            body: &message.body,
            received_at: skep_bus::now(),
        };
        let events = receiver.events_of_message(&request, id.or(message.id.as_deref()).map(str::as_bytes));
        let decided = events.iter().map(|event| {
            let body = if event.request.body.len() == message.body.len() {
                message.body.clone()
            } else {
                Bytes::copy_from_slice(event.request.body)
            };
            let kept = |headers: HeaderMap| Kept {
                headers: self.bus.calls.stored_headers(headers, None),
                query: None,
                body: body.clone(),
                verified: Verified { by: Proof::None, key: None },
                remote: None,
                paused,
            };
            let subscribers = |topics: &[String]| self.dispatch.registry().subscribed(topics);
            let mut stored = receiver.stored_headers(&event.request);
            // A sender cannot say it over HTTP, so it went with what only skep says.
            if let Some(hops) = hops(event.request.headers) {
                set_hops(&mut stored, hops);
            }
            fitting(receiver.decided(event, kept(stored.clone()), &subscribers))
                .or_else(|| fitting(receiver.decided(event, kept(only_needed(&stored)), &subscribers)))
                .unwrap_or_else(|| without_calls(receiver.decided(event, kept(only_needed(&stored)), &subscribers)))
        });
        decided.map(|event| Event { trace: trace.cloned(), ..event }).collect()
    }
}

/// The event if its calls can be stored.
fn fitting(event: Event) -> Option<Event> {
    event.check_calls().is_ok().then_some(event)
}

/// What a message is not understood without.
fn only_needed(given: &HeaderMap) -> HeaderMap {
    let needed = [header::CONTENT_TYPE, headers::TOPIC, headers::SKEP_HOPS];
    let kept = given.iter().filter(|(name, _)| needed.contains(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The event is kept all the same, and says why it calls nothing.
fn without_calls(mut event: Event) -> Event {
    let Err(error) = event.check_calls() else { return event };
    let ignored = event.decision.routes.drain(..);
    let ignored: Vec<_> = ignored.map(|route| IgnoredRoute { route: route.route, reason: error.to_string() }).collect();
    event.decision.ignored.extend(ignored);
    event
}
