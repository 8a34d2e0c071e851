//! What the door does to the headers of a call on its way in and out (contract, 1.5).

use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use skep_daemon::Peer;
use skep_protocol::{CallId, headers};

/// What is told on the answer, whatever becomes of the call.
#[derive(Clone, Debug)]
pub(crate) struct Stamp {
    pub(crate) call_id: HeaderValue,
    start_time: HeaderValue,
    /// The request's own, for an answer that has none.
    content_type: Option<HeaderValue>,
}

impl Stamp {
    /// Marks a request that came over HTTP.
    pub(crate) fn request(parts: &mut Parts, peer: &Peer) -> Self {
        let host = parts.headers.get(header::HOST).cloned();
        let host = host.or_else(|| HeaderValue::from_str(parts.uri.authority()?.as_str()).ok());
        let scheme = if peer.is_encrypted { "https" } else { "http" };
        let headers = &mut parts.headers;
        if let Some(host) = host {
            headers.entry(headers::FORWARDED_HOST).or_insert(host);
        }
        append_to_list(headers, headers::FORWARDED_FOR, &peer.ip);
        headers.entry(headers::FORWARDED_PROTO).or_insert(HeaderValue::from_static(scheme));
        Self::headers(headers)
    }

    /// Marks a request wherever it came from: its id, its time and its sender's name.
    pub(crate) fn headers(headers: &mut HeaderMap) -> Self {
        headers::remove_hop_by_hop(headers);
        // This door has answered it already.
        headers.remove(header::EXPECT);
        let call_id = match headers.get(headers::CALL_ID) {
            Some(given) if !given.is_empty() => given.clone(),
            // An id is visible ASCII.
            _ => HeaderValue::try_from(String::from(CallId::generate())).unwrap_or(HeaderValue::from_static("")),
        };
        headers.insert(headers::CALL_ID, call_id.clone());
        let start_time = HeaderValue::from(nanoseconds_now());
        headers.append(headers::START_TIME, start_time.clone());
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(SERVED_BY));
        Self { call_id, start_time, content_type: headers.get(header::CONTENT_TYPE).cloned() }
    }

    /// Marks the answer of a function.
    pub(crate) fn function_answer(&self, answer: &mut HeaderMap) {
        let usual = || self.content_type.clone().unwrap_or(HeaderValue::from_static("text/plain"));
        answer.entry(header::CONTENT_TYPE).or_insert_with(usual);
        self.answer(answer);
    }

    /// Marks any answer.
    pub(crate) fn answer(&self, answer: &mut HeaderMap) {
        answer.insert(headers::CALL_ID, self.call_id.clone());
        answer.insert(headers::START_TIME, self.start_time.clone());
        answer.insert(SERVED_BY_HEADER, HeaderValue::from_static(SERVED_BY));
    }
}

const SERVED_BY_HEADER: HeaderName = HeaderName::from_static("x-served-by");
const SERVED_BY: &str = concat!("skep/", env!("CARGO_PKG_VERSION"));

/// Adds to a comma-separated list; several lines become one, for many functions read only the first.
fn append_to_list(headers: &mut HeaderMap, name: HeaderName, last: &HeaderValue) {
    let given: Vec<_> = headers.get_all(&name).iter().chain([last]).map(HeaderValue::as_bytes).collect();
    let list = if given.len() > 1 { HeaderValue::from_bytes(&given.join(&b", "[..])) } else { Ok(last.clone()) };
    if let Ok(list) = list {
        headers.insert(name, list);
    }
}

/// The year 2554 is the last that it can tell.
fn nanoseconds_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn stamped(headers: &[(&'static str, &'static str)]) -> (HeaderMap, Stamp) {
        let mut request = Request::post("/function/a").body(()).unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        let peer = Peer::new("[::ffff:10.0.0.7]:4711".parse().unwrap(), false);
        let (mut parts, ()) = request.into_parts();
        let stamp = Stamp::request(&mut parts, &peer);
        (parts.headers, stamp)
    }

    fn values<'headers>(headers: &'headers HeaderMap, name: &str) -> Vec<&'headers str> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn a_bare_request_gets_what_is_missing() {
        let (headers, stamp) = stamped(&[("host", "example.com:8080")]);
        assert_eq!(values(&headers, "x-forwarded-host"), ["example.com:8080"]);
        assert_eq!(values(&headers, "x-forwarded-for"), ["10.0.0.7"]);
        assert_eq!(values(&headers, "x-forwarded-proto"), ["http"]);
        assert_eq!(values(&headers, "user-agent"), [SERVED_BY]);
        assert_eq!(values(&headers, "x-start-time").len(), 1);
        let mut answer = HeaderMap::new();
        stamp.function_answer(&mut answer);
        assert_eq!(answer["x-call-id"], headers["x-call-id"]);
        assert_eq!(answer["x-start-time"], headers["x-start-time"]);
        assert_eq!(answer["content-type"], "text/plain");
        assert_eq!(answer["x-served-by"], SERVED_BY);
    }

    #[test]
    fn what_the_caller_set_is_kept_and_lists_are_appended_to() {
        let (headers, stamp) = stamped(&[
            ("host", "inner"),
            ("x-call-id", "mine.1"),
            ("x-start-time", "1"),
            ("x-forwarded-host", "outer"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-proto", "https"),
            ("user-agent", "curl"),
            ("content-type", "application/json"),
            ("connection", "x-secret"),
            ("x-secret", "1"),
            ("expect", "100-continue"),
            ("authorization", "Bearer "),
        ]);
        assert_eq!(values(&headers, "x-call-id"), ["mine.1"]);
        assert_eq!(values(&headers, "x-forwarded-host"), ["outer"]);
        assert_eq!(values(&headers, "x-forwarded-for"), ["1.1.1.1, 2.2.2.2, 10.0.0.7"]);
        assert_eq!(values(&headers, "x-forwarded-proto"), ["https"]);
        assert_eq!(values(&headers, "user-agent"), ["curl"]);
        assert_eq!(values(&headers, "authorization"), ["Bearer "]);
        assert_eq!(values(&headers, "x-start-time").len(), 2);
        assert!(!headers.contains_key("x-secret") && !headers.contains_key("expect"));
        let mut answer = HeaderMap::new();
        answer.append("x-call-id", HeaderValue::from_static("the watchdog's echo"));
        stamp.function_answer(&mut answer);
        assert_eq!(values(&answer, "x-call-id"), ["mine.1"]);
        assert_eq!(answer["content-type"], "application/json");
        assert_ne!(answer["x-start-time"], "1", "the answer tells this door's time");
    }
}
