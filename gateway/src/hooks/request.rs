//! A request to a source as it came.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, header, request::Parts};
use skep_http::Peer;
use skep_protocol::{headers, remove_forged, remove_forwarding};
use skep_trace::Context;
use time::OffsetDateTime;

use super::ROUTE;
use crate::forwarded::TrustedProxies;

/// All of it, and when and from where it came.
#[derive(Clone)]
pub(super) struct Arrived {
    pub(super) method: Method,
    /// The raw path after the source's name: empty, or starting with `/`.
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) received_at: OffsetDateTime,
    pub(super) remote: Option<IpAddr>,
    /// What its event is a child of in a trace.
    pub(super) trace: Option<Context>,
}

impl Arrived {
    pub(super) fn new(parts: Parts, body: Bytes, remote: Option<IpAddr>, trace: Option<Context>) -> Self {
        let (_, path) = split(&parts.uri);
        Self {
            path: path.to_owned(),
            query: parts.uri.query().map(str::to_owned),
            method: parts.method,
            headers: parts.headers,
            body,
            received_at: skep_bus::now(),
            remote,
            trace,
        }
    }

    pub(super) fn as_request(&self) -> skep_sources::Request<'_> {
        skep_sources::Request {
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
            body: &self.body,
            received_at: self.received_at,
        }
    }
}

/// The name of the source, and the raw path behind it; `/hooks/NAME/` is the same as `/hooks/NAME`.
pub(super) fn split(uri: &Uri) -> (&str, &str) {
    let rest = uri.path().strip_prefix(ROUTE).unwrap_or_default();
    let end = rest.find('/').unwrap_or(rest.len());
    let (name, path) = rest.split_at(end);
    (name, if path == "/" { "" } else { path })
}

/// Writes where a request came from into headers that go to functions.
///
/// Of one that was held nothing is left of its connection, but who sent it.
pub(super) fn add_origin(
    headers: &mut HeaderMap,
    peer: Option<&Peer>,
    remote: Option<IpAddr>,
    trusted: &TrustedProxies,
) {
    let found = remove_forged(headers);
    if let Some(peer) = peer {
        let host = headers.get(header::HOST).cloned();
        return trusted.stamp(headers, peer, host, found.forwarding);
    }
    remove_forwarding(headers);
    let address = remote.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_string();
    if let Ok(address) = HeaderValue::try_from(address) {
        headers.insert(headers::FORWARDED_FOR, address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_name_first_and_a_slash_alone_behind_it_is_nothing() {
        for (path, expected) in [
            ("/hooks/github", ("github", "")),
            ("/hooks/github/", ("github", "")),
            ("/hooks/github/a%2Fb/c", ("github", "/a%2Fb/c")),
            ("/hooks/github//", ("github", "//")),
            ("/hooks/", ("", "")),
        ] {
            assert_eq!(split(&path.parse().unwrap()), expected, "{path}");
        }
    }
}
