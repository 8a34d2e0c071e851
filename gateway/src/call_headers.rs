//! The headers of a call on its way in and out of an entry point (contract, 1.5).

use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Version, header, request::Parts, uri::Authority};
use skep_http::Peer;
use skep_protocol::{CallId, FunctionName, headers, remove_forged};
use skep_trace::{Kind, TraceId, Tracer};
use tracing::{Span, debug_span, error_span};

use crate::{
    Error, Result,
    forwarded::TrustedProxies,
    pages,
    spans::{self, Scope},
};

/// What an answer carries, whatever becomes of the call.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    pub(crate) call_id: HeaderValue,
    start_time: HeaderValue,
    /// The request's own, for an answer that has none.
    content_type: Option<HeaderValue>,
    /// A browser will show the answer as a page.
    pub(crate) is_for_page: bool,
    /// Where the call belongs in a trace.
    pub(crate) scope: Scope,
}

/// Where a request comes in.
#[derive(Clone, Copy)]
pub(crate) struct Entrance<'app> {
    pub(crate) trusted: &'app TrustedProxies,
    pub(crate) tracer: &'app Tracer,
    /// The template of its path.
    pub(crate) route: &'static str,
}

impl RequestContext {
    /// Prepares a request that came over HTTP: removes what a caller must not say, then adds what skep says.
    pub(crate) fn request(parts: &mut Parts, peer: &Peer, entrance: Entrance<'_>) -> Self {
        let Entrance { trusted, tracer, route } = entrance;
        let found = remove_forged(&mut parts.headers);
        // Before the list of proxies has its sender.
        let incoming = found.trace.then(|| {
            let sender = trusted.sender(peer, &parts.headers);
            tracer.incoming(&mut parts.headers, sender)
        });
        let host = parts.headers.get(header::HOST).cloned();
        let named = host.clone().filter(|_| tracer.is_on());
        trusted.stamp(&mut parts.headers, peer, host, found.forwarding);
        let is_for_page = found.browser && pages::is_wanted(&parts.headers);
        let scope = Scope::enter(tracer, Kind::Server, incoming);
        let context = Self::headers(&mut parts.headers);
        if let Some(span) = scope.span() {
            spans::describe_request(span, route, parts, peer, (named, Some(&context.call_id)));
        }
        Self { is_for_page, scope, ..context }
    }

    /// Prepares a request from any entry point: sets its id, its time and its sender's name.
    pub(crate) fn headers(headers: &mut HeaderMap) -> Self {
        // This entry point has answered it already.
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
        Self {
            call_id,
            start_time,
            content_type: headers.get(header::CONTENT_TYPE).cloned(),
            is_for_page: false,
            scope: Scope::default(),
        }
    }

    /// The same within a trace.
    pub(crate) fn within(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// The span of a call. It costs nothing while nobody asks for it.
    pub(crate) fn span(&self, function: &FunctionName) -> Span {
        let call_id = self.call_id.to_str().unwrap_or_default();
        debug_span!("request", call_id, %function, trace_id = self.trace_id().map(tracing::field::display))
    }

    /// The span of a line in the log, which no filter takes from it. It is made for each line, because most calls have none.
    pub(crate) fn log_span(&self) -> Span {
        let call_id = self.call_id.to_str().unwrap_or_default();
        error_span!("request", call_id, trace_id = self.trace_id().map(tracing::field::display))
    }

    fn trace_id(&self) -> Option<TraceId> {
        self.scope.context().map(|context| context.trace_id)
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

/// Makes `Host` the one host that a request is for, however it came (RFC 9112, 3.2; RFC 9113, 8.3.1).
pub(crate) fn settle_host<B>(request: &mut Request<B>) -> Result<()> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let authority = request.uri().authority();
    let host = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(Error::InvalidHost("there is more than one Host")),
        (Some(host), None) => {
            let is_other = |authority: &Authority| !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes());
            return match authority {
                Some(authority) if is_other(authority) => {
                    Err(Error::InvalidHost("Host is another one than the request's target names"))
                }
                Some(_) | None => Ok(()),
            };
        }
        (None, None) => authority.and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()),
    };
    match host.filter(|_| request.version() != Version::HTTP_11) {
        Some(host) => {
            request.headers_mut().insert(header::HOST, host);
            Ok(())
        }
        None if request.version() < Version::HTTP_11 => Ok(()),
        None => Err(Error::InvalidHost("there is no Host")),
    }
}

/// The year 2554 is the last that it can tell.
fn nanoseconds_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entrance() -> Entrance<'static> {
        let trusted = Box::leak(Box::new("private".parse().unwrap()));
        Entrance { trusted, tracer: Box::leak(Box::default()), route: "/" }
    }

    fn stamped(headers: &[(&'static str, &'static str)]) -> (HeaderMap, RequestContext) {
        let mut request = Request::post("/function/a").body(()).unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        let peer = Peer::new("[::ffff:10.0.0.7]:4711".parse().unwrap(), false);
        let (mut parts, ()) = request.into_parts();
        let context = RequestContext::request(&mut parts, &peer, entrance());
        (parts.headers, context)
    }

    fn host_of(version: Version, uri: &str, hosts: &[&'static str]) -> Result<Option<HeaderValue>> {
        let mut request = Request::builder().version(version).uri(uri).body(()).unwrap();
        for host in hosts {
            request.headers_mut().append(header::HOST, HeaderValue::from_static(host));
        }
        settle_host(&mut request)?;
        assert!(request.headers().get_all(header::HOST).iter().count() <= 1);
        Ok(request.headers_mut().remove(header::HOST))
    }

    #[test]
    fn a_request_has_one_host() {
        for (version, uri, hosts, expected) in [
            (Version::HTTP_11, "/", &["a:1"][..], Some("a:1")),
            (Version::HTTP_11, "http://A/", &["a"], Some("a")),
            (Version::HTTP_10, "/", &[], None),
            (Version::HTTP_10, "/", &["a"], Some("a")),
            (Version::HTTP_2, "https://a:8443/", &[], Some("a:8443")),
            (Version::HTTP_2, "https://a/", &["a"], Some("a")),
            (Version::HTTP_2, "/", &["a"], Some("a")),
        ] {
            let host = host_of(version, uri, hosts).unwrap();
            assert_eq!(host, expected.map(HeaderValue::from_static), "{version:?} {uri} {hosts:?}");
        }
        for (version, uri, hosts) in [
            (Version::HTTP_11, "/", &[][..]),
            (Version::HTTP_11, "http://a/", &[]),
            (Version::HTTP_11, "http://a/", &["b"]),
            (Version::HTTP_11, "/", &["a", "a"]),
            (Version::HTTP_10, "/", &["a", "b"]),
            (Version::HTTP_2, "https://a/", &["b"]),
            (Version::HTTP_2, "https://a/", &["a", "a"]),
            (Version::HTTP_2, "/", &[]),
        ] {
            assert!(host_of(version, uri, hosts).is_err(), "{version:?} {uri} {hosts:?}");
        }
    }

    fn values<'headers>(headers: &'headers HeaderMap, name: &str) -> Vec<&'headers str> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn a_bare_request_gets_what_is_missing() {
        let (headers, context) = stamped(&[("host", "example.com:8080")]);
        assert_eq!(values(&headers, "x-forwarded-host"), ["example.com:8080"]);
        assert_eq!(values(&headers, "x-forwarded-for"), ["10.0.0.7"]);
        assert_eq!(values(&headers, "x-forwarded-proto"), ["http"]);
        assert_eq!(values(&headers, "user-agent"), [SERVED_BY]);
        assert_eq!(values(&headers, "x-start-time").len(), 1);
        let mut answer = HeaderMap::new();
        context.function_answer(&mut answer);
        assert_eq!(answer["x-call-id"], headers["x-call-id"]);
        assert_eq!(answer["x-start-time"], headers["x-start-time"]);
        assert_eq!(answer["content-type"], "text/plain");
        assert_eq!(answer["x-served-by"], SERVED_BY);
    }

    #[test]
    fn what_the_caller_set_is_kept_and_lists_are_appended_to() {
        let (headers, context) = stamped(&[
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
        context.function_answer(&mut answer);
        assert_eq!(values(&answer, "x-call-id"), ["mine.1"]);
        assert_eq!(answer["content-type"], "application/json");
        assert_ne!(answer["x-start-time"], "1", "the answer has this entry point's time");
    }
}
