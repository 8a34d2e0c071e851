//! What holds for the headers of every call on their way through NATS: for the fuzzer and the property test.

use async_nats::HeaderMap as NatsHeaders;
use bytes::Bytes;
use http::HeaderMap;
use skep_protocol::{Call, CallId, FunctionName};
use time::OffsetDateTime;

use super::{HTTP_PREFIX, call_headers, read_call};
use crate::inbound::published::publishers_headers;

/// Panics if a call's headers, path or query differ after a way through NATS, or if they could say anything to the server.
///
/// A path or a query with control characters comes in at no entry point; it is skipped.
pub fn hold(headers: HeaderMap, path: &str, query: Option<&str>) {
    if path.contains(char::is_control) || query.is_some_and(|query| query.contains(char::is_control)) {
        return;
    }
    let (Ok(function), Ok(call_id)) = ("a".parse::<FunctionName>(), "1".parse::<CallId>()) else { return };
    let call = Call {
        path: path.to_owned(),
        query: query.map(str::to_owned),
        headers,
        ..Call::new(call_id, function, OffsetDateTime::UNIX_EPOCH)
    };
    let written = call_headers(&call);
    for (name, values) in written.iter() {
        let name: &str = name.as_ref();
        assert!(name.starts_with(HTTP_PREFIX) || name.starts_with("Skep-"), "{name}");
        assert!(values.iter().all(|value| !value.as_str().contains(['\r', '\n'])), "{name}: {values:?}");
    }
    let read = read_call(&written, Bytes::new());
    assert!(
        read.is_ok_and(|read| read.headers == call.headers && read.path == call.path && read.query == call.query),
        "{:?} {path:?} {query:?}",
        call.headers
    );
    publishers_words_are_headers_or_nothing(&written);
}

/// A publisher may send any of these names; none is a reason to panic, and those of NATS stay behind.
fn publishers_words_are_headers_or_nothing(sent: &NatsHeaders) {
    let headers = publishers_headers(Some(sent));
    assert!(headers.keys().all(|name| !name.as_str().starts_with("nats-")));
}
