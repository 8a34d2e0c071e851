//! Requests for tests.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use skep_protocol::DefaultNamespace;
use time::OffsetDateTime;

use crate::{Defaults, Event, Receiver, Request, Source, SourceError, Verified};

/// A request that owns its parts.
pub(crate) struct Sent {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) query: Option<&'static str>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Sent {
    pub(crate) fn new(body: &str) -> Self {
        let json = (HeaderName::from_static("content-type"), HeaderValue::from_static("application/json"));
        let headers = HeaderMap::from_iter([json]);
        Self { method: Method::POST, path: "", query: None, headers, body: body.into() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.remove(name);
        self.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        self
    }

    pub(crate) fn path(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    pub(crate) fn query(self, query: &'static str) -> Self {
        Self { query: Some(query), ..self }
    }

    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            method: &self.method,
            path: self.path,
            query: self.query,
            headers: &self.headers,
            body: &self.body,
            received_at: OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(1_764_417_600_500),
        }
    }

    pub(crate) fn event(&self, event_type: Option<&str>) -> Event<'_> {
        Event {
            request: self.request(),
            id: "evt_1".parse().unwrap(),
            event_type: event_type.map(str::to_owned),
            verified: Verified::Signature,
        }
    }
}

/// A source from its declaration in YAML.
pub(crate) fn receiver(yaml: &str) -> Receiver {
    try_receiver(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

pub(crate) fn try_receiver(yaml: &str) -> Result<Receiver, SourceError> {
    let spec: serde_json::Value = serde_saphyr::from_str(yaml).unwrap();
    let namespace = DefaultNamespace::default();
    Receiver::compile("shop".parse().unwrap(), Source::from_spec(&spec)?, &Defaults::new(&namespace))
}

/// The value of a header that is there.
pub(crate) fn value<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).unwrap_or_else(|| panic!("{name} is absent")).to_str().unwrap()
}
