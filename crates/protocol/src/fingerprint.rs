//! Fingerprints tell whether two requests with one call id are the same call.

use std::fmt;

use http::{HeaderMap, Method, header};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::FunctionName;

/// A hash of what a caller asked for: function, method, path, query, `Content-Type` and body.
///
/// It is the idempotency fingerprint of draft-ietf-httpapi-idempotency-key-header: a call id may come again with the same fingerprint only.
/// Headers that a proxy or a tracer changes from one attempt to the next do not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

/// A fingerprint whose body is still to come.
#[derive(Clone)]
pub struct Fingerprinting(Sha256);

impl Fingerprint {
    /// The fingerprint of a request whose body is at hand.
    pub fn of(
        function: &FunctionName,
        method: &Method,
        (path, query): (&str, Option<&str>),
        headers: &HeaderMap,
        body: &[u8],
    ) -> Self {
        let mut fingerprint = Fingerprinting::begin(function, method, (path, query), headers);
        fingerprint.body(body);
        fingerprint.end()
    }

    /// As it is written to a message.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it was written to a message.
    pub fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Fingerprinting {
    /// Everything but the body.
    pub fn begin(
        function: &FunctionName,
        method: &Method,
        (path, query): (&str, Option<&str>),
        headers: &HeaderMap,
    ) -> Self {
        let content_type = headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
        let parts = [
            Some(function.as_str().as_bytes()),
            Some(method.as_str().as_bytes()),
            Some(path.as_bytes()),
            query.map(str::as_bytes),
            content_type,
        ];
        let mut hash = Sha256::new();
        for part in parts {
            // The length keeps one part apart from the next, and a part that is missing from one that is empty.
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            hash.update(length.to_be_bytes());
            hash.update(part.unwrap_or_default());
        }
        Self(hash)
    }

    /// The next piece of the body, however it is cut.
    pub fn body(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub fn end(self) -> Fingerprint {
        use fmt::Write;
        let mut text = String::with_capacity(64);
        for byte in self.0.finalize() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Fingerprint(text)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(function: &str, method: &Method, path: (&str, Option<&str>), kind: Option<&str>, body: &[u8]) -> Fingerprint {
        let kind = kind.map(|kind| (header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap()));
        Fingerprint::of(&function.parse().unwrap(), method, path, &kind.into_iter().collect(), body)
    }

    #[test]
    fn only_the_same_request_has_the_same_fingerprint() {
        let usual = of("f", &Method::POST, ("/a", Some("b=1")), Some("text/plain"), b"body");
        assert_eq!(usual, of("f", &Method::POST, ("/a", Some("b=1")), Some("text/plain"), b"body"));
        assert_eq!(usual.as_str().len(), 64);
        for other in [
            of("g", &Method::POST, ("/a", Some("b=1")), Some("text/plain"), b"body"),
            of("f", &Method::PUT, ("/a", Some("b=1")), Some("text/plain"), b"body"),
            of("f", &Method::POST, ("/b", Some("b=1")), Some("text/plain"), b"body"),
            of("f", &Method::POST, ("/a", Some("b=2")), Some("text/plain"), b"body"),
            of("f", &Method::POST, ("/a", Some("")), Some("text/plain"), b"body"),
            of("f", &Method::POST, ("/a", None), Some("text/plain"), b"body"),
            of("f", &Method::POST, ("/ab=1", None), Some("text/plain"), b"body"),
            of("f", &Method::POST, ("/a", Some("b=1")), Some("text/html"), b"body"),
            of("f", &Method::POST, ("/a", Some("b=1")), None, b"body"),
            of("f", &Method::POST, ("/a", Some("b=1")), None, b"text/plainbody"),
            of("f", &Method::POST, ("/a", Some("b=1")), Some("text/plain"), b""),
        ] {
            assert_ne!(usual, other);
        }
    }

    #[test]
    fn how_a_body_is_cut_does_not_count() {
        let function = "f".parse().unwrap();
        let mut cut = Fingerprinting::begin(&function, &Method::POST, ("", None), &HeaderMap::new());
        cut.body(b"bo");
        cut.body(b"");
        cut.body(b"dy");
        assert_eq!(cut.end(), Fingerprint::of(&function, &Method::POST, ("", None), &HeaderMap::new(), b"body"));
    }
}
