//! Which of a caller's headers an entry point removes: those of one hop, and those that only skep itself sets.

use http::{HeaderMap, HeaderName, header};

use crate::headers;

/// What one look at a caller's headers found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Headers that tell where a request came from, of the kind that proxies set.
    pub forwarding: bool,
    /// Headers that only browsers send.
    pub browser: bool,
    /// Headers that say which trace it belongs to.
    pub trace: bool,
}

/// Headers of skep's own that callers set.
const OF_CALLERS: [HeaderName; 3] = [headers::SKEP_DELAY, headers::SKEP_RUN_AT, headers::SKEP_CALLBACK_HEADERS];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Usual,
    /// It belongs to one connection.
    Hop,
    /// Only skep sets it.
    Reserved,
    /// It tells where a request came from.
    Forwarding,
    /// Only browsers send it.
    Browser,
    /// It says which trace a request belongs to.
    Trace,
    /// An underscore, which many programs cannot tell from a hyphen.
    Underscore,
}

/// Removes from a request's headers what its caller cannot say, and returns what else was found.
///
/// Most requests have no such header, so they are scanned once and not changed.
pub fn remove_forged(headers: &mut HeaderMap) -> Found {
    let mut found = Found::default();
    let (mut has_hops, mut has_forged) = (false, false);
    for name in headers.keys() {
        match kind(name.as_str()) {
            Kind::Usual => {}
            Kind::Hop => has_hops = true,
            Kind::Reserved | Kind::Underscore => has_forged = true,
            Kind::Forwarding => found.forwarding = true,
            Kind::Browser => found.browser = true,
            Kind::Trace => found.trace = true,
        }
    }
    if has_hops {
        headers::remove_hop_by_hop(headers);
    }
    if has_forged {
        remove(headers, is_forged);
    }
    found
}

/// Removes the headers that tell where a request came from.
pub fn remove_forwarding(headers: &mut HeaderMap) {
    remove(headers, |name| kind(name) == Kind::Forwarding);
}

/// Whether a header is of the whole way of a request, so that `Connection` cannot take it away.
pub(crate) fn is_end_to_end(name: &HeaderName) -> bool {
    const NAMES: [HeaderName; 4] = [header::HOST, header::AUTHORIZATION, headers::CALL_ID, headers::START_TIME];
    let text = name.as_str();
    NAMES.contains(name)
        || text.starts_with("content-")
        || text.starts_with("x-skep-")
        || kind(text) == Kind::Forwarding
}

fn remove(headers: &mut HeaderMap, is_meant: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_meant(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn is_forged(name: &str) -> bool {
    match kind(name) {
        Kind::Reserved => true,
        Kind::Underscore => is_shadow(name),
        Kind::Usual | Kind::Hop | Kind::Forwarding | Kind::Browser | Kind::Trace => false,
    }
}

/// Whether a name with underscores would pass for one that means something.
fn is_shadow(name: &str) -> bool {
    let meant = name.replace('_', "-");
    kind(&meant) != Kind::Usual || meant.parse().is_ok_and(|meant| is_end_to_end(&meant))
}

fn kind(name: &str) -> Kind {
    match name.as_bytes() {
        [b't', b'r', b'a', b'c', b'e', ..] if name == "traceparent" || name == "tracestate" => Kind::Trace,
        [b'c' | b'k' | b'p' | b't' | b'u', ..] if headers::is_hop_by_hop(name) => Kind::Hop,
        [b's', ..] if name.starts_with("sec-fetch-") => Kind::Browser,
        [b'u', ..] if name == "upgrade-insecure-requests" => Kind::Browser,
        [b'f', ..] if name == "forwarded" => Kind::Forwarding,
        [b'x', ..] if name.starts_with("x-forwarded-") || name == "x-real-ip" => Kind::Forwarding,
        [b'x', ..] if is_reserved(name) => Kind::Reserved,
        bytes if bytes.contains(&b'_') => Kind::Underscore,
        _ => Kind::Usual,
    }
}

fn is_reserved(name: &str) -> bool {
    let is_skeps = name.starts_with("x-skep-") && OF_CALLERS.iter().all(|callers| callers != name);
    is_skeps || name == headers::OPENFAAS_INTERNAL || name == headers::FUNCTION_STATUS
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn left(given: &[(&'static str, &'static str)]) -> (Vec<String>, Found) {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let found = remove_forged(&mut headers);
        (headers.keys().map(ToString::to_string).collect(), found)
    }

    #[test]
    fn what_only_skep_sets_is_removed_and_what_callers_set_stays() {
        let forged = [
            ("x-skep-error", "1"),
            ("x-skep-attempt", "1"),
            ("x-skep-callback-of", "1"),
            ("x-skep-of-the-future", "1"),
            ("x-openfaas-internal", "1"),
            ("x-function-status", "1"),
            ("x-skep_error", "1"),
            ("x_forwarded_for", "1"),
            ("content_length", "1"),
            ("x_call_id", "1"),
            ("transfer_encoding", "chunked"),
        ];
        assert_eq!(left(&forged), (vec![], Found::default()));
        let callers =
            [("x-skep-delay", "1s"), ("x-skep-run-at", ""), ("x-skep-callback-headers", "a"), ("my_own", "1")];
        assert_eq!(left(&callers).0, callers.map(|(name, _)| name));
    }

    #[test]
    fn a_connection_header_takes_nothing_away_that_is_of_the_whole_way() {
        let names = "close, X-Private, Host, X-Forwarded-For, Content-Type, Authorization, X-Call-Id, Forwarded";
        let kept = ["host", "x-forwarded-for", "content-type", "authorization", "x-call-id", "forwarded"];
        let mut given = vec![("connection", names), ("x-private", "1")];
        given.extend(kept.map(|name| (name, "1")));
        let (mut left, _) = left(&given);
        // Removing changes their order.
        left.sort_by_key(|name| kept.iter().position(|kept| kept == name));
        assert_eq!(left, kept);
    }

    #[test]
    fn what_proxies_and_browsers_say_is_found_and_not_touched() {
        assert_eq!(left(&[("accept", "*/*"), ("host", "a"), ("user-agent", "b")]).1, Found::default());
        for name in ["forwarded", "x-forwarded-for", "x-forwarded-port", "x-real-ip"] {
            assert_eq!(left(&[(name, "1")]), (vec![name.to_owned()], Found { forwarding: true, ..Found::default() }));
        }
        for name in ["traceparent", "tracestate"] {
            assert_eq!(left(&[(name, "1")]), (vec![name.to_owned()], Found { trace: true, ..Found::default() }));
        }
        for name in ["sec-fetch-mode", "upgrade-insecure-requests"] {
            assert_eq!(left(&[(name, "1")]), (vec![name.to_owned()], Found { browser: true, ..Found::default() }));
        }
    }
}
