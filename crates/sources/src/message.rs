//! Events that came as messages, on a subject and with headers, and not as requests.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use skep_protocol::{EventId, Proof, headers::TOPIC};

use crate::{
    Event, Receiver, Request, SecretUse,
    event::media_type,
    event_id,
    kind::{Kind, Nats, mqtt},
};

/// The name of the secret with which a source logs in where its messages are.
pub const CREDENTIALS: &str = "credentials";
const MAX_TYPE: usize = 250;
/// What a header cannot have as it is; all that is not ASCII is encoded, too.
const ENCODED: AsciiSet = CONTROLS.add(b' ').add(b'%');

/// The secret of a source's login.
pub(crate) fn login(messages: &Nats) -> Option<SecretUse> {
    let file = messages.credentials.clone()?;
    Some(SecretUse { name: Some(CREDENTIALS.to_owned()), file })
}

impl Receiver {
    /// The events of a message: one, or those of a batch of CloudEvents.
    ///
    /// Its topic stands in the header [`TOPIC`]. `id` names the event where neither the declaration nor the message does.
    pub fn events_of_message<'a>(&self, request: &Request<'a>, id: Option<&[u8]>) -> Vec<Event<'a>> {
        // What only looks like a CloudEvent is an event all the same.
        if self.is_cloudevent(request)
            && let Ok(events) = self.events(request, Proof::None)
        {
            return events;
        }
        let facts = self.facts(request);
        let own = || id.map(|id| self.counted(event_id::of_sender(id))).unwrap_or_else(EventId::generate);
        let topic = topic(request).map(|topic| encoded(&topic));
        vec![Event {
            request: *request,
            id: self.declared_id(&facts).unwrap_or_else(own),
            event_type: self.type_of(&facts).or(topic),
            verified: Proof::None,
        }]
    }

    /// Whether a request is a CloudEvent, where some are.
    pub(crate) fn is_cloudevent(&self, request: &Request<'_>) -> bool {
        let looks_like = || {
            let kind = media_type(request.headers).to_ascii_lowercase();
            kind.starts_with("application/cloudevents") || request.headers.contains_key("ce-specversion")
        };
        self.cloudevents && (self.kind().is_webhook() || looks_like())
    }

    /// What an event is about, by all names that a function may know it by.
    pub fn topics(&self, event: &Event<'_>) -> Vec<String> {
        let own = self.own_topic(&event.request).map(|own| match self.kind() {
            Kind::Mqtt(_) => mqtt::to_subject(&own),
            _ => own.into_owned(),
        });
        self.topics_of_type(event.event_type.as_deref()).chain(own).collect()
    }

    /// What all of its events with this type are about.
    pub(crate) fn topics_of_type(&self, event_type: Option<&str>) -> impl Iterator<Item = String> {
        let source = self.name();
        let typed = event_type.map(|event_type| format!("{source}.{event_type}"));
        std::iter::once(source.to_string()).chain(typed)
    }

    /// The topic of a message; a request has none of its own, whatever its sender says.
    pub(crate) fn own_topic<'e>(&self, request: &Request<'e>) -> Option<Cow<'e, str>> {
        self.kind().messages().and_then(|_| topic(request))
    }
}

fn topic<'e>(request: &Request<'e>) -> Option<Cow<'e, str>> {
    Some(String::from_utf8_lossy(request.headers.get(TOPIC)?.as_bytes()))
}

/// A topic as the type of an event: visible ASCII, as headers have it.
pub(crate) fn encoded(topic: &str) -> String {
    utf8_percent_encode(topic, &ENCODED).to_string().chars().take(MAX_TYPE).collect()
}

#[cfg(test)]
mod tests {
    use skep_protocol::{FunctionName, Verified};

    use super::*;
    use crate::{
        Kept,
        testing::{Sent, receiver, try_receiver},
    };

    const NATS: &str = "{ nats: { stream: PAY }, routes: [{ to: book, send: cloudevents }] }";

    fn message(body: &str) -> Sent {
        Sent::new(body).header("x-topic", "pay.EU ü")
    }

    #[test]
    fn a_message_is_named_by_its_declaration_itself_or_its_place() {
        let (sent, place) = (message(r#"{"id":"own"}"#), Some(&b"js-1-2"[..]));
        let one = |yaml: &str| {
            let [event] = &receiver(yaml).events_of_message(&sent.request(), place)[..] else { panic!() };
            (event.id.to_string(), event.event_type.clone().unwrap())
        };
        assert_eq!(one(NATS), ("js-1-2".to_owned(), "pay.EU%20%C3%BC".to_owned()));
        let declared = r#"{ nats: { stream: PAY }, id: ["json:id"], type: "{json:id}" }"#;
        assert_eq!(one(declared), ("own".to_owned(), "own".to_owned()));
        assert_ne!(one("{ nats: { stream: PAY }, dedup: off }").0, "js-1-2");
    }

    #[test]
    fn what_is_a_cloudevent_has_its_identity_and_what_only_looks_like_one_is_an_event() {
        let receiver = receiver(NATS);
        let structured = r#"{"specversion":"1.0","id":"1","source":"/s","type":"made","data":{}}"#;
        let sent = message(structured).header("content-type", "application/cloudevents+json");
        let [event] = &receiver.events_of_message(&sent.request(), Some(b"place"))[..] else { panic!() };
        assert_eq!((event.id.as_str().len(), event.event_type.as_deref()), (41, Some("made")));
        let sent = message("{}").header("content-type", "application/cloudevents+json");
        let [event] = &receiver.events_of_message(&sent.request(), Some(b"place"))[..] else { panic!() };
        assert_eq!(event.id.as_str(), "place");
        // A message that is none is sent on as one of skep's making.
        let sent = message("text");
        let [event] = &receiver.events_of_message(&sent.request(), Some(b"place"))[..] else { panic!() };
        let request = receiver.function_request(&receiver.routes()[0], event);
        assert_eq!((&request.headers["ce-id"], &*request.body), (&"place".parse().unwrap(), &b"text"[..]));
    }

    fn kept(receiver: &Receiver, event: &Event<'_>) -> Kept {
        Kept {
            headers: receiver.stored_headers(&event.request),
            query: None,
            body: event.request.body.to_vec().into(),
            verified: Verified { by: Proof::None, key: None },
            remote: None,
            paused: false,
        }
    }

    #[test]
    fn a_filter_has_the_type_of_a_message_as_it_is_written() {
        let taken = |kind: &str, topic: &str, filter: &str| {
            let receiver = receiver(&format!("{{ {kind}, routes: [{{ to: a, filter: {{ type: {filter} }} }}] }}"));
            let sent = message("{}").header("x-topic", topic);
            let [event] = &receiver.events_of_message(&sent.request(), None)[..] else { panic!() };
            receiver.decide(event).routes.len() == 1
        };
        let (nats, mqtt) = ("nats: { stream: PAY }", "mqtt: { topics: [home/+/motion] }");
        for (filter, expected) in [
            ("[other, 'pay.EU ü']", true),
            ("'pay.*'", true),
            ("'* ü'", true),
            ("{ in: ['PAY.*'], ignore_case: true }", true),
            ("{ prefix: pay. }", true),
            ("pay.eu", false),
        ] {
            assert_eq!(taken(nats, "pay.EU ü", filter), expected, "{filter}");
        }
        assert!(taken(mqtt, "home/Kitchen/motion", "home/Kitchen/motion"));
        assert!(taken(mqtt, "home/Kitchen/motion", "'home/*/motion'"));
        assert!(!taken(mqtt, "home/Kitchen/motion", "home/kitchen/motion"));
    }

    #[test]
    fn functions_bring_routes_along_and_get_an_event_once() {
        let receiver = receiver(NATS);
        let sent = message("{}");
        let [event] = &receiver.events_of_message(&sent.request(), None)[..] else { panic!() };
        assert_eq!(receiver.topics(event), ["shop", "shop.pay.EU%20%C3%BC", "pay.EU ü"]);
        let kept = kept(&receiver, event);
        let long: FunctionName = "x".repeat(63).parse::<FunctionName>().unwrap();
        let subscribed = ["audit".parse().unwrap(), "book".parse().unwrap(), long];
        let stored = receiver.decided(event, kept, &|_| subscribed.to_vec());
        let routes: Vec<_> = stored.decision.routes.iter().map(|route| route.route.as_str()).collect();
        assert_eq!(routes[..2], ["book", "topic_audit"]);
        assert!(routes.len() == 3 && routes[2].starts_with("topic_h"), "{routes:?}");
        let call = stored.call(&stored.decision.routes[1], None, event.request.received_at);
        assert_eq!(call.headers["x-topic"].as_bytes(), "pay.EU ü".as_bytes());
        assert_eq!(call.headers["x-skep-hops"], "0");
        assert!(try_receiver("{ nats: { stream: PAY }, routes: [{ to: a, name: topic_a }] }").is_err());
    }

    #[test]
    fn only_the_router_makes_calls_unless_the_sender_waits_for_the_only_one() {
        let routed_only = |receiver: &Receiver, subscribed: &[FunctionName]| {
            let sent = Sent::new("{}");
            let event = sent.event(None);
            receiver.decided(&event, kept(receiver, &event), &|_| subscribed.to_vec()).decision.is_routed_only
        };
        let answered = receiver("{ verify: none, answer: function, routes: [{ to: f }] }");
        assert!(!routed_only(&answered, &[]) && routed_only(&answered, &["audit".parse().unwrap()]));
        assert!(routed_only(&receiver("{ verify: none, routes: [{ to: f }] }"), &[]));
    }

    #[test]
    fn a_request_has_no_topic_of_its_own_whatever_it_says() {
        let sent = Sent::new("{}").header("x-topic", "forged");
        assert_eq!(receiver("{ verify: none }").topics(&sent.event(Some("push"))), ["shop", "shop.push"]);
    }
}
