//! Events that came as messages, on a subject and with headers, and not as requests.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use skep_protocol::{EventId, Proof, SourceName, headers::TOPIC};

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
        let (source, own) = (self.name(), self.own_topic(&event.request));
        let own = own.map(|own| match self.kind() {
            Kind::Mqtt(_) => mqtt::to_subject(&own),
            _ => own.into_owned(),
        });
        let typed = event.event_type.as_ref().map(|event_type| of_type(source, event_type));
        std::iter::once(source.to_string()).chain(typed).chain(own).collect()
    }

    /// The topic of a message; a request has none of its own, whatever its sender says.
    pub(crate) fn own_topic<'e>(&self, request: &Request<'e>) -> Option<Cow<'e, str>> {
        self.kind().messages().and_then(|_| topic(request))
    }
}

fn of_type(source: &SourceName, event_type: &str) -> String {
    format!("{source}.{event_type}")
}

fn topic<'e>(request: &Request<'e>) -> Option<Cow<'e, str>> {
    Some(String::from_utf8_lossy(request.headers.get(TOPIC)?.as_bytes()))
}

/// A topic as the type of an event: visible ASCII, as headers have it.
fn encoded(topic: &str) -> String {
    utf8_percent_encode(topic, &ENCODED).to_string().chars().take(MAX_TYPE).collect()
}
