//! Webhook sources: how a request is verified, which event it is, and which routes it takes.
//!
//! This crate knows neither the bus nor HTTP servers, and does no I/O. A provider is data: `presets.yaml`.

mod error;
mod event_id;
mod path;
mod redact;
mod source;
mod values;

pub use error::{KeyStep, SourceError};
pub use event_id::call_id;
pub use source::{
    Answer, DEFAULT_KEEP, DEFAULT_MAX_BODY, DebounceSpec, OrElse, RetryOverride, RouteSpec, SecretUse, Source, Unverified,
};
pub use values::Rate;

use http::{HeaderMap, Method};
use time::OffsetDateTime;

/// A request to a source, as it came.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a Method,
    /// The raw path after the source's name: empty, or starting with `/`.
    pub path: &'a str,
    /// The raw query without `?`.
    pub query: Option<&'a str>,
    pub headers: &'a HeaderMap,
    /// The raw body; a signature is of these bytes.
    pub body: &'a [u8],
    pub received_at: OffsetDateTime,
}
