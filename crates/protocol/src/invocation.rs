//! One asynchronous call as it waits on the bus.

use bytes::Bytes;
use http::HeaderMap;
use time::OffsetDateTime;
use url::Url;

use crate::{CallId, CallStatus, FunctionName};

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
    /// Its state before anything has happened to it.
    pub fn status(&self) -> CallStatus {
        let accepted = CallStatus::accepted(self.call_id.clone(), self.function.to_string(), self.accepted_at);
        CallStatus { callback_url: self.callback.clone(), ..accepted }
    }
}
