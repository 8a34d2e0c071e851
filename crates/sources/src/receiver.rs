//! A source that was checked: all that a gateway and a router ask of it.

mod compile;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, net::IpAddr, time::Duration};

use http::{HeaderMap, HeaderName, Method};
use ipnet::IpNet;
use skep_protocol::{EventId, Proof, RouteName, SourceName};
use time::OffsetDateTime;

use crate::{
    Request,
    ack::Ack,
    challenge::{self, Answer, Challenged},
    challenge_rule::Challenge,
    cloudevents::{self, EventError},
    event::{Event, Facts},
    event_id,
    function_request::{self, FunctionRequest},
    key::KeyError,
    kind::Kind,
    preset::Otherwise,
    probe::{Held, probe},
    redact,
    reference::Reference,
    route::{Debounced, Route},
    scheme::Verify,
    secret::{Secret, Secrets},
    sign::{SignError, SignedRequest, sign},
    source::Source,
    template::Template,
    values::Rate,
    verdict::Verdict,
    verify::verify,
};

pub use self::compile::Defaults;

const MAX_TYPE: usize = 100;
/// How long after a source was declared or changed its provider may bring the secret.
const LEARNING_TIME: Duration = Duration::from_secs(3600);

/// A source that was checked, with its preset filled in.
#[derive(Debug)]
pub struct Receiver {
    name: SourceName,
    source: Source,
    methods: Vec<Method>,
    verify: Verify,
    url: Option<String>,
    challenges: Vec<Challenge>,
    ack: Ack,
    allow: Vec<IpNet>,
    max_body: u64,
    keep: Duration,
    wait: Duration,
    id: Vec<Reference>,
    otherwise: Otherwise,
    event_type: Option<Template>,
    json_field: Option<String>,
    pub(crate) cloudevents: bool,
    pub(crate) redacted: Vec<HeaderName>,
    pub(crate) redacted_query: Vec<String>,
    /// Parameters of the query that differ from try to try.
    volatile_query: Vec<String>,
    routes: Vec<Route>,
    warnings: Vec<String>,
}

/// Which routes an event takes, in the order of the declaration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    pub routes: Vec<RouteName>,
    /// The others, each with the first key of its filter that does not hold.
    pub ignored: Vec<(RouteName, String)>,
}

impl Receiver {
    pub fn name(&self) -> &SourceName {
        &self.name
    }

    /// The declaration as it was given.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// What is allowed and likely not meant, such as a source without a route.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether a sender with this address may send.
    pub fn allows_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allow.is_empty() || self.allow.iter().any(|network| network.contains(&address))
    }

    /// The verbs of events; challenges may have others.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// The longest body in bytes.
    pub fn max_body(&self) -> u64 {
        self.max_body
    }

    /// Answers a challenge; none if the request is none. `learning` says whether the source may learn its secret from one.
    pub fn challenge(&self, request: &Request<'_>, secrets: &Secrets, learning: bool) -> Option<Answer> {
        let challenged = Challenged {
            challenges: &self.challenges,
            verify: &self.verify,
            secrets,
            url: self.url.as_deref(),
            json_field: self.json_field.as_deref(),
            tolerance: self.source.tolerance,
            learning,
        };
        challenge::challenge(&challenged, request)
    }

    /// Whether a request is the provider's.
    pub fn verify(&self, request: &Request<'_>, secrets: &Secrets) -> Verdict {
        verify(&self.verify, request, secrets, self.url.as_deref(), self.source.tolerance)
    }

    /// Whether no event can be verified until the source has a secret, which somebody must give it.
    pub fn needs_secret(&self) -> bool {
        self.verify != Verify::None && !self.learns()
    }

    /// Whether a request of the provider brings the secret.
    pub fn learns(&self) -> bool {
        self.challenges.iter().any(|challenge| challenge.learn.is_some())
    }

    /// Whether the provider may bring the secret now, if the source has none.
    pub fn may_learn(&self, declared_at: OffsetDateTime, now: OffsetDateTime) -> bool {
        self.learns() && now - declared_at < LEARNING_TIME
    }

    /// Whether a text can be a secret of this source; to be asked before it is stored.
    pub fn check_secret(&self, text: &str) -> Result<(), KeyError> {
        self.verify.check_secret(text)
    }

    /// A sentence for each change that makes a refused request fit; `previous` are secrets that the source had before.
    pub fn why(&self, request: &Request<'_>, secrets: &Secrets, previous: &[Secret]) -> Vec<String> {
        if redact::hides(request, &self.redacted, &self.redacted_query) {
            return vec![
                "Its token was not stored, so nothing can be tried: compare it with the provider's.".to_owned(),
            ];
        }
        let (verify, url, tolerance) = (&self.verify, self.url.as_deref(), self.source.tolerance);
        probe(&Held { verify, request, secrets, previous, url, tolerance })
    }

    /// A request signed as the provider would, for tests of the whole way.
    pub fn sign(&self, request: &Request<'_>, secret: &Secret) -> Result<SignedRequest, SignError> {
        sign(&self.verify, request, secret, self.url.as_deref())
    }

    /// Whether it takes requests and checks nothing.
    pub fn is_open(&self) -> bool {
        self.kind().is_webhook() && self.verify == Verify::None
    }

    /// How its events come.
    pub fn kind(&self) -> &Kind {
        &self.source.kind
    }

    /// The answer to an accepted event.
    pub fn ack(&self) -> &Ack {
        &self.ack
    }

    /// The address that is signed: the source's own, or skep's public one.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    pub fn rate(&self) -> Option<Rate> {
        self.source.rate
    }

    /// How long an event is kept, and its id counts.
    pub fn keep(&self) -> Duration {
        self.keep
    }

    /// How long a sender waits for the function's answer, where that is asked for.
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// The events of a request that was let in: one, or those of a batch of CloudEvents.
    ///
    /// All of them are to be stored, or none. No two have the same id.
    pub fn events<'a>(&self, request: &Request<'a>, verified: Proof) -> Result<Vec<Event<'a>>, EventError> {
        if self.kind().messages().is_some() && !self.is_cloudevent(request) {
            return Ok(self.events_of_message(request, None));
        }
        if !self.cloudevents {
            let facts = self.facts(request);
            let (id, event_type) = (self.id_of(&facts), self.type_of(&facts));
            return Ok(vec![Event { request: *request, id, event_type, verified }]);
        }
        let mut events: Vec<Event<'a>> = Vec::new();
        for (request, attributes) in cloudevents::read(request)? {
            let id = event_id::of_parts(&[attributes.source.as_bytes(), attributes.id.as_bytes()]);
            // The second of two with one identity is a duplicate already, and would make the batch fail.
            if self.dedup() && events.iter().any(|event| event.id == id) {
                continue;
            }
            let event_type = event_type(attributes.event_type.as_bytes());
            events.push(Event { request, id: self.counted(id), event_type, verified });
        }
        Ok(events)
    }

    /// Which routes an event takes, and why not the others.
    pub fn decide(&self, event: &Event<'_>) -> Decision {
        let facts = self.facts(&event.request);
        let mut decision = Decision::default();
        for route in &self.routes {
            match route.miss(&facts, event) {
                None => decision.routes.push(route.name().clone()),
                Some(reason) => decision.ignored.push((route.name().clone(), reason)),
            }
        }
        decision
    }

    /// The headers of a request as they are stored.
    pub fn stored_headers(&self, request: &Request<'_>) -> HeaderMap {
        let mut headers = redact::stored_headers(request.headers, &self.redacted);
        if self.cloudevents {
            cloudevents::stored_type(&mut headers);
        }
        headers
    }

    /// The query of a request as it is stored.
    pub fn stored_query(&self, request: &Request<'_>) -> Option<String> {
        redact::stored_query(request.query, &self.redacted_query)
    }

    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    pub fn route(&self, name: &RouteName) -> Option<&Route> {
        self.routes.iter().find(|route| route.name() == name)
    }

    /// What the function of a route gets of a stored event.
    pub fn function_request<'e>(&self, route: &Route, event: &Event<'e>) -> FunctionRequest<'e> {
        function_request::of(self, route, event)
    }

    /// The id of an event; a batch of CloudEvents has several, see [`Self::events`].
    pub fn event_id(&self, request: &Request<'_>) -> EventId {
        self.id_of(&self.facts(request))
    }

    /// The header that would name the event, if the request has nothing that does.
    pub fn absent_id_header(&self, request: &Request<'_>) -> Option<&HeaderName> {
        let facts = self.facts(request);
        let is_given =
            |reference| facts.input.resolve(reference).is_ok_and(|text| text.is_some_and(|text| !text.is_empty()));
        if self.id.iter().any(is_given) {
            return None;
        }
        self.id.iter().find_map(Reference::header)
    }

    /// The headers that name events.
    pub fn id_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.id.iter().filter_map(Reference::header)
    }

    /// What kind of event it is, if it says so.
    pub fn event_type(&self, request: &Request<'_>) -> Option<String> {
        self.type_of(&self.facts(request))
    }

    /// Whether an event of a route waits, and which earlier one it replaces.
    pub fn debounced(&self, route: &Route, event: &Event<'_>) -> Option<Debounced> {
        route.debounced(&self.facts(&event.request), event)
    }

    pub(crate) fn facts<'s>(&'s self, request: &Request<'s>) -> Facts<'s> {
        Facts::new(request, self.json_field.as_deref(), self.cloudevents)
    }

    pub(crate) fn dedup(&self) -> bool {
        self.source.dedup.unwrap_or(true)
    }

    /// An id that counts, or one that no later event has.
    pub(crate) fn counted(&self, id: EventId) -> EventId {
        if self.dedup() { id } else { event_id::repeatable(&id) }
    }

    /// What the sender calls the event.
    pub(crate) fn given_id<'f>(&'f self, facts: &'f Facts<'_>) -> Option<Cow<'f, [u8]>> {
        let given = |reference| facts.input.resolve(reference).ok().flatten().filter(|text| !text.is_empty());
        self.id.iter().find_map(given)
    }

    /// The id that the source's declaration finds, if it finds one.
    pub(crate) fn declared_id(&self, facts: &Facts<'_>) -> Option<EventId> {
        Some(self.counted(event_id::of_sender(&self.given_id(facts)?)))
    }

    fn id_of(&self, facts: &Facts<'_>) -> EventId {
        match self.declared_id(facts) {
            Some(id) => id,
            None if self.otherwise == Otherwise::Content => {
                self.counted(event_id::of_content(facts.request(), &self.volatile_query))
            }
            None => EventId::generate(),
        }
    }

    pub(crate) fn type_of(&self, facts: &Facts<'_>) -> Option<String> {
        event_type(&self.event_type.as_ref()?.render(&facts.input).ok()?)
    }
}

/// A type as it is stored: in lower case, and with `-` in place of what a subject or a header may not have.
fn event_type(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let letter = |letter: char| match letter.to_ascii_lowercase() {
        letter @ ('a'..='z' | '0'..='9' | '.' | '_' | '-') => letter,
        _ => '-',
    };
    Some(text.trim().chars().take(MAX_TYPE).map(letter).collect()).filter(|text: &String| !text.is_empty())
}
