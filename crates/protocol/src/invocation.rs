//! One asynchronous call as it waits on the bus.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};
use time::OffsetDateTime;
use url::Url;

use crate::{CallId, CallStatus, FunctionName, headers};

/// An accepted call: the caller's raw body, and everything else that the function or the callback needs.
#[derive(Clone, Debug)]
pub struct Invocation {
    pub call_id: CallId,
    pub function: FunctionName,
    /// The verb the caller used; the function gets `POST`, as the contract says.
    pub method: http::Method,
    /// The raw path after the function's name: empty, or starting with `/`.
    pub path: String,
    /// The raw query without `?`.
    pub query: Option<String>,
    /// The caller's headers, hop-by-hop ones removed.
    pub headers: HeaderMap,
    pub body: Bytes,
    pub callback: Option<Url>,
    pub accepted_at: OffsetDateTime,
    /// Whether the caller chose the id: then the same call may be submitted again after it has finished.
    pub has_callers_id: bool,
}

impl Invocation {
    /// The caller's headers that come back with the callback, as [`headers::SKEP_CALLBACK_HEADERS`] asks for; those of one hop do not.
    pub fn returned_headers(&self) -> HeaderMap {
        let mut returned = HeaderMap::new();
        if self.callback.is_none() {
            return returned;
        }
        let asked = self.headers.get_all(headers::SKEP_CALLBACK_HEADERS).iter();
        for name in asked.filter_map(|names| names.to_str().ok()).flat_map(|names| names.split(',')) {
            let Ok(name) = name.trim().parse::<HeaderName>() else { continue };
            if !returned.contains_key(&name) {
                returned.extend(self.headers.get_all(&name).iter().map(|value| (name.clone(), value.clone())));
            }
        }
        headers::remove_hop_by_hop(&mut returned);
        for of_the_request in [header::HOST, header::CONTENT_LENGTH, header::CONTENT_TYPE, header::EXPECT] {
            returned.remove(of_the_request);
        }
        returned
    }

    /// Its state before anything has happened to it.
    pub fn status(&self) -> CallStatus {
        let accepted = CallStatus::accepted(self.call_id.clone(), self.function.to_string(), self.accepted_at);
        CallStatus { callback_url: self.callback.clone(), ..accepted }
    }
}
