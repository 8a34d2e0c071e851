//! Requests to sources that could not be verified: copies of those that were refused, and those that wait to be released.
//!
//! Strangers send them, so each source keeps a bounded number of both.

use std::net::IpAddr;

use async_nats::{
    HeaderMap as NatsHeaders,
    jetstream::stream::{DirectGetErrorKind, Stream},
};
use bytes::Bytes;
use http::{HeaderMap, Method};
use skep_protocol::SourceName;
use time::OffsetDateTime;

use crate::{
    Error, Events, Result,
    calls::scan::{Scan, Seen},
    events::wire::RequestLine,
    fit,
    publish::Message,
    wire::{self, METHOD, PATH, QUERY, REASON, Unreadable},
};

const RECEIVED: &str = "Skep-Received";
const LENGTH: &str = "Skep-Length";
const SHA256: &str = "Skep-Sha256";
/// On a request of which only the beginning of the body is kept.
const CUT: &str = "Skep-Cut";

/// A request that could not be verified.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldRequest {
    pub source: SourceName,
    pub received_at: OffsetDateTime,
    /// Why it was not let in.
    pub reason: String,
    pub method: Method,
    pub path: String,
    pub query: Option<String>,
    pub remote: Option<IpAddr>,
    pub headers: HeaderMap,
    /// Its body, or the beginning of it.
    pub body: Bytes,
    /// Whether its body is kept as it came.
    pub is_whole: bool,
    /// The length of its body as it came, and its hash.
    pub length: u64,
    pub sha256: String,
}

/// Which of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldKind {
    /// The sender was refused, and this is a copy.
    Refused,
    /// The sender got an answer that accepts it.
    Held,
}

/// Where a held request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldId {
    pub kind: HeldKind,
    pub sequence: u64,
}

impl HeldKind {
    pub const ALL: [Self; 2] = [Self::Refused, Self::Held];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Held => "held",
        }
    }
}

impl std::fmt::Display for HeldId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}-{}", self.kind.as_str(), self.sequence)
    }
}

impl std::str::FromStr for HeldId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('-').and_then(|(kind, sequence)| {
            let kind = HeldKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
            Some(Self { kind, sequence: sequence.parse().ok()? })
        });
        parsed.ok_or_else(|| format!("{text:?} names no held request: refused-7 or held-7 do"))
    }
}

impl HeldRequest {
    fn to_headers(&self) -> NatsHeaders {
        let mut headers = NatsHeaders::new();
        wire::add_version(&mut headers);
        wire::add_http_headers(&mut headers, wire::HTTP_PREFIX, &self.headers);
        headers.insert(RECEIVED, wire::timestamp(self.received_at));
        headers.insert(REASON, fit::reason(&self.reason));
        headers.insert(METHOD, self.method.as_str());
        headers.insert(LENGTH, self.length.to_string());
        headers.insert(SHA256, self.sha256.as_str());
        if !self.is_whole {
            headers.insert(CUT, "true");
        }
        let request = RequestLine { path: &self.path, query: self.query.as_deref(), remote: self.remote };
        request.add(&mut headers);
        headers
    }

    fn read(subject: &str, headers: &NatsHeaders, body: Bytes) -> Result<Self, Unreadable> {
        wire::check_version(headers)?;
        let source = subject.rsplit('.').next().unwrap_or_default();
        Ok(Self {
            source: source.parse().map_err(|error| format!("{error}"))?,
            received_at: wire::read_timestamp(headers, RECEIVED)?,
            reason: wire::text(headers, REASON).unwrap_or_default().to_owned(),
            method: wire::parsed(headers, METHOD)?,
            path: wire::text(headers, PATH).map(wire::unescaped_text).unwrap_or_default(),
            query: wire::text(headers, QUERY).map(wire::unescaped_text),
            remote: super::wire::remote(headers)?,
            headers: wire::read_http_headers(headers, wire::HTTP_PREFIX),
            length: wire::parsed(headers, LENGTH)?,
            sha256: wire::text(headers, SHA256).unwrap_or_default().to_owned(),
            is_whole: wire::text(headers, CUT).is_none(),
            body,
        })
    }
}

impl Events {
    /// Keeps a request that was not verified. False if no more of them are held of this source; copies of refused ones replace older ones.
    pub async fn hold(&self, request: &HeldRequest, kind: HeldKind) -> Result<bool> {
        let (_, subject) = self.held_stream(&request.source, kind);
        let headers = request.to_headers();
        fit::check(&headers, &request.body, self.nats.largest_message())?;
        let message = Message { subject, headers, body: request.body.clone() };
        match self.nats.publisher.publish(message).await {
            Ok(stored) => Ok(stored.is_some()),
            Err(Error::Full(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The requests of a source that were not verified, without their bodies, the oldest first; behind a place, if one is given.
    pub async fn held(
        &self,
        source: &SourceName,
        kind: HeldKind,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(HeldId, HeldRequest)>> {
        let (stream, subject) = self.held_stream(source, kind);
        let mut scan = Scan::begin(stream, subject, after).await?;
        let mut held = Vec::new();
        while held.len() < limit {
            let Some(Seen { subject, headers, body, sequence, .. }) = scan.next().await? else { break };
            let read = HeldRequest::read(&subject, &headers, body).ok();
            held.extend(read.map(|request| (HeldId { kind, sequence }, request)));
        }
        scan.end().await;
        Ok(held)
    }

    /// One of them with its body.
    pub async fn held_request(&self, source: &SourceName, id: HeldId) -> Result<Option<HeldRequest>> {
        let (stream, subject) = self.held_stream(source, id.kind);
        let message = match stream.direct_get(id.sequence).await {
            Ok(message) => message,
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::unavailable(error)),
        };
        if *message.subject != *subject {
            return Ok(None);
        }
        let read = HeldRequest::read(&subject, &message.headers, message.payload);
        read.map(Some).map_err(|reason| Error::Unreadable { subject, reason })
    }

    /// Removes a held request; no error if it is gone already.
    pub async fn remove_held(&self, id: HeldId) -> Result<()> {
        let stream = match id.kind {
            HeldKind::Refused => "REFUSED",
            HeldKind::Held => "HELD",
        };
        self.nats.remove_message(stream, id.sequence).await
    }

    fn held_stream(&self, source: &SourceName, kind: HeldKind) -> (&Stream, String) {
        match kind {
            HeldKind::Refused => (&self.nats.streams.refused, self.nats.subjects.refused(source)),
            HeldKind::Held => (&self.nats.streams.held, self.nats.subjects.held(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_held_request_is_read_as_it_was_written() {
        let whole = HeldRequest {
            source: "github".parse().unwrap(),
            received_at: OffsetDateTime::UNIX_EPOCH,
            reason: "mismatch".to_owned(),
            method: Method::POST,
            path: "/a".to_owned(),
            query: Some("b".to_owned()),
            remote: Some("192.0.2.1".parse().unwrap()),
            headers: HeaderMap::from_iter([(HeaderName::from_static("x-a"), HeaderValue::from_static("1"))]),
            body: Bytes::from_static(b"{}"),
            is_whole: true,
            length: 2,
            sha256: "ab".to_owned(),
        };
        let again = |held: &HeldRequest| {
            HeldRequest::read("skep.refused.github", &held.to_headers(), held.body.clone()).unwrap()
        };
        assert_eq!(again(&whole), whole);
        let cut = HeldRequest { is_whole: false, length: 300_000, query: None, remote: None, ..whole };
        assert_eq!(again(&cut), cut);
    }

    #[test]
    fn a_held_request_is_named_by_its_stream_and_its_place() {
        for text in ["refused-7", "held-12"] {
            assert_eq!(text.parse::<HeldId>().unwrap().to_string(), text);
        }
        for text in ["", "7", "held", "held-", "held-x", "kept-1"] {
            assert!(text.parse::<HeldId>().is_err(), "{text}");
        }
    }
}
