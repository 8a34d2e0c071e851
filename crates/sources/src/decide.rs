//! What becomes of an event is decided here, once, and stored with it.

use std::net::IpAddr;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use skep_protocol::{Decision, EventDebounce, EventRoute, FunctionName, IgnoredRoute, RouteName, Verified, headers};

use crate::{AnswerBy, Debounced, Event, Filter, Receiver, Request, Route, SourceError, filter::Compiling};

/// Bytes of an event's headers that say why it does not take routes.
const MAX_REASON_BYTES: usize = 8 * 1024;

/// What an event is stored with, beside what it says itself.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its headers as they are stored.
    pub headers: HeaderMap,
    /// Its query as it is stored.
    pub query: Option<String>,
    pub body: Bytes,
    pub verified: Verified,
    /// Who sent it; none for a program of this machine.
    pub remote: Option<IpAddr>,
    /// Its source is paused, so its routes wait for a replay.
    pub paused: bool,
}

/// Finds the functions whose annotation names one of these topics.
pub type Subscribers<'f> = dyn Fn(&[String]) -> Vec<FunctionName> + Send + Sync + 'f;

impl Receiver {
    /// The event as it is stored: with the routes that it takes, and the reason why it does not take the others.
    ///
    /// Functions that name one of its [`topics`](Self::topics) bring a route along, whatever the kind of the source.
    pub fn decided(&self, event: &Event<'_>, kept: Kept, subscribers: &Subscribers<'_>) -> skep_protocol::Event {
        let request = Request { headers: &kept.headers, query: kept.query.as_deref(), ..event.request };
        let stored = Event { request, ..event.clone() };
        let decision = self.decide(event);
        let routes = self.taken(&decision.routes, &subscribers(&self.topics(event)));
        let routes: Vec<_> = routes.iter().map(|route| self.planned(route, &stored)).collect();
        let may_be_answered = self.source().answer == AnswerBy::Function && routes.len() == 1;
        skep_protocol::Event {
            source: self.name().clone(),
            id: event.id.clone(),
            kind: event.event_type.clone().unwrap_or_default(),
            received_at: event.request.received_at,
            verified: kept.verified,
            decision: Decision {
                routes,
                ignored: ignored(decision.ignored),
                paused: kept.paused,
                is_routed_only: !may_be_answered,
            },
            method: event.request.method.clone(),
            path: event.request.path.to_owned(),
            query: kept.query,
            remote: kept.remote,
            headers: kept.headers,
            body: kept.body,
            occurrence: None,
            trace: None,
        }
    }

    /// The routes that a stored event takes as its source is declared now.
    pub fn decided_again(&self, event: &skep_protocol::Event, subscribers: &Subscribers<'_>) -> Vec<EventRoute> {
        let stored = Event::of_stored(event);
        let routes = self.taken(&self.decide(&stored).routes, &subscribers(&self.topics(&stored)));
        routes.iter().map(|route| self.planned(route, &stored)).collect()
    }

    /// Reads a filter of an administrator, which has the keys of those of routes.
    pub fn filter(&self, value: &Value) -> Result<Filter, SourceError> {
        Filter::compile(value, &mut Compiling::new(&self.redacted, &self.redacted_query, self.kind()))
    }

    /// Why an event does not match it, if it does not.
    pub fn miss(&self, filter: &Filter, event: &Event<'_>) -> Option<String> {
        filter.miss(&self.facts(&event.request), event)
    }

    /// The routes with these names, and those that functions bring along; a function gets an event once.
    fn taken(&self, names: &[RouteName], subscribed: &[FunctionName]) -> Vec<Route> {
        let mut routes: Vec<Route> = names.iter().filter_map(|name| self.route(name)).cloned().collect();
        for function in subscribed {
            let is_taken =
                routes.iter().any(|route| route.first_function() == function || route.function() == function);
            if !is_taken {
                routes.extend(Route::of_function(function));
            }
        }
        routes
    }

    /// What the router needs to know of a route: how the function's request differs from what is stored.
    fn planned(&self, route: &Route, stored: &Event<'_>) -> EventRoute {
        let wanted = self.function_request(route, stored);
        let debounced = self.debounced(route, stored);
        let request = &stored.request;
        let is_path = wanted.path == request.path || (wanted.path == "/" && request.path.is_empty());
        let mut planned = EventRoute {
            route: route.name().clone(),
            function: wanted.function,
            path: (!is_path).then_some(wanted.path),
            headers: Vec::new(),
            body: (*wanted.body != *request.body).then(|| Bytes::from(wanted.body.into_owned())),
            in_bulk: false,
            delay_seconds: route.delay().map(|delay| delay.as_secs()),
            debounce: debounced
                .map(|Debounced { key, wait, at_most }| EventDebounce::new(route.name(), &key, wait, at_most)),
            retry: route.retry().annotations(),
            callback: wanted.callback,
            steps: route.steps().map(<[_]>::to_vec),
        };
        for (name, value) in &wanted.headers {
            if request.headers.get_all(name).iter().all(|known| known != value) {
                planned.add_header(name, value);
            }
        }
        if let Some(topic) = stored.request.headers.get(headers::TOPIC).filter(|_| self.kind().messages().is_some()) {
            planned.add_header(&headers::TOPIC, topic);
        }
        planned
    }
}

impl<'e> Event<'e> {
    /// An event that is stored, as filters and routes see it.
    pub fn of_stored(event: &'e skep_protocol::Event) -> Self {
        Self {
            request: Request {
                method: &event.method,
                path: &event.path,
                query: event.query.as_deref(),
                headers: &event.headers,
                body: &event.body,
                received_at: event.received_at,
            },
            id: event.id.clone(),
            event_type: Some(event.kind.clone()).filter(|kind| !kind.is_empty()),
            verified: event.verified.by,
        }
    }
}

/// The routes that an event does not take; of many, the reasons of the first.
fn ignored(routes: Vec<(RouteName, String)>) -> Vec<IgnoredRoute> {
    let mut room = MAX_REASON_BYTES;
    let kept = routes.into_iter().map(|(route, reason)| match room.checked_sub(reason.len()) {
        Some(rest) => {
            room = rest;
            IgnoredRoute { route, reason }
        }
        None => IgnoredRoute { route, reason: "the reason is left out, because there are too many".to_owned() },
    });
    kept.collect()
}
