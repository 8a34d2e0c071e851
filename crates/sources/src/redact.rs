//! What of a request is stored: nothing that only skep says, nothing of one connection, and no secret.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use skep_protocol::{headers, remove_forged};
use url::form_urlencoded;

use crate::Request;

/// What stands in place of a secret.
const HIDDEN: &str = "…";
/// Headers that begin so are skep's or the server's word.
const RESERVED: [&str; 3] = ["x-skep-", "nats-", "skep-"];
/// Headers with which a caller instructs skep; a sender of events is no caller.
const OF_CALLERS: [HeaderName; 5] =
    [headers::CALL_ID, headers::CALLBACK_URL, headers::TIMEOUT, headers::FUNCTION, headers::START_TIME];
/// Headers of one request and its body, which skep sets anew for a function.
const OF_REQUEST: [HeaderName; 2] = [header::CONTENT_LENGTH, header::EXPECT];

/// The headers of a request as they are stored; the values of `redacted` ones are hidden.
pub(crate) fn stored_headers(given: &HeaderMap, redacted: &[HeaderName]) -> HeaderMap {
    let mut stored = given.clone();
    remove_forged(&mut stored);
    let names: Vec<HeaderName> = stored.keys().filter(|name| is_refused(name)).cloned().collect();
    for name in names {
        stored.remove(name);
    }
    for name in redacted {
        if stored.contains_key(name)
            && let Ok(hidden) = HeaderValue::from_bytes(HIDDEN.as_bytes())
        {
            stored.insert(name, hidden);
        }
    }
    stored
}

fn is_refused(name: &HeaderName) -> bool {
    let text = name.as_str();
    let text = if text.contains('_') { Cow::Owned(text.replace('_', "-")) } else { Cow::Borrowed(text) };
    RESERVED.iter().any(|reserved| text.starts_with(reserved))
        || OF_CALLERS.iter().chain(&OF_REQUEST).any(|refused| *refused == *text)
}

/// The query of a request as it is stored; the values of `redacted` fields are hidden.
pub(crate) fn stored_query(given: Option<&str>, redacted: &[String]) -> Option<String> {
    let given = given?;
    let is_redacted = |pair: &str| {
        form_urlencoded::parse(pair.as_bytes())
            .next()
            .is_some_and(|(name, _)| redacted.iter().any(|hidden| *hidden == name))
    };
    let hidden: String = form_urlencoded::byte_serialize(HIDDEN.as_bytes()).collect();
    let pairs = given.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_redacted(pair) => format!("{name}={hidden}"),
        _ => pair.to_owned(),
    });
    Some(pairs.collect::<Vec<_>>().join("&"))
}

/// Whether a stored request lacks a secret that it came with.
pub(crate) fn hides(stored: &Request<'_>, redacted: &[HeaderName], redacted_query: &[String]) -> bool {
    let in_header = |name: &HeaderName| stored.headers.get_all(name).iter().any(|value| value == HIDDEN);
    let mut query = form_urlencoded::parse(stored.query.unwrap_or_default().as_bytes());
    redacted.iter().any(in_header)
        || query.any(|(name, value)| value == HIDDEN && redacted_query.iter().any(|hidden| *hidden == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
        given.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn what_only_skep_says_and_what_is_of_one_hop_is_not_stored() {
        let given = headers(&[
            ("x-skep-source", "forged"),
            ("x-skep-delay", "1h"),
            ("x_skep_verified", "signature"),
            ("nats-msg-id", "1"),
            ("nats_ttl", "1s"),
            ("skep-routes", "all"),
            ("x-callback-url", "http://127.0.0.1/"),
            ("x-call-id", "1"),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("content-type", "application/json"),
            ("x-github-event", "push"),
            ("user-agent", "GitHub-Hookshot/1"),
        ]);
        let mut kept: Vec<String> = stored_headers(&given, &[]).keys().map(ToString::to_string).collect();
        kept.sort();
        assert_eq!(kept, ["content-type", "user-agent", "x-github-event"]);
    }

    #[test]
    fn a_secret_is_hidden_and_one_sees_that_it_was_there() {
        let mut given = headers(&[("x-gitlab-token", "hush"), ("x-other", "1")]);
        given.append("x-gitlab-token", HeaderValue::from_static("hush2"));
        let redacted = ["x-gitlab-token", "authorization"].map(HeaderName::from_static);
        let stored = stored_headers(&given, &redacted);
        let values: Vec<&[u8]> = stored.get_all("x-gitlab-token").iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(values, ["…".as_bytes()]);
        assert_eq!(stored.get("x-other").unwrap(), "1");
        assert!(!stored.contains_key("authorization"));
    }

    #[test]
    fn a_token_in_the_query_is_hidden_and_the_rest_is_as_it_came() {
        let redacted = ["access_token".to_owned()];
        let hide = |query| stored_query(Some(query), &redacted).unwrap();
        assert_eq!(hide("a=%2F&access_token=hush&b"), "a=%2F&access_token=%E2%80%A6&b");
        assert_eq!(hide("%61ccess_token=hush&access_token=more"), "%61ccess_token=%E2%80%A6&access_token=%E2%80%A6");
        assert_eq!(hide(""), "");
        assert_eq!(stored_query(None, &redacted), None);
    }
}
