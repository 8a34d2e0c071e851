//! Sources of events: how events come, how a request is verified, which event it is, and which routes it takes.
//!
//! This crate knows neither the bus nor HTTP servers, and does no I/O. A provider is data: `presets.yaml`.

mod ack;
mod added_header;
mod challenge;
mod challenge_rule;
mod challenge_text;
mod challenge_value;
mod cloudevents;
mod decide;
mod der;
mod digest;
mod error;
mod event;
mod event_id;
mod filter;
mod form;
mod function_request;
mod json;
mod key;
mod kind;
#[cfg(any(test, fuzzing))]
pub mod laws;
mod message;
mod occurrence;
mod own_event;
mod path;
mod preset;
mod printed;
mod probe;
mod receiver;
mod redact;
mod reference;
mod resolve;
mod route;
mod scheme;
mod scheme_text;
mod seal;
mod secret;
mod send;
mod sign;
mod signature;
mod source;
mod template;
#[cfg(test)]
mod testing;
mod text;
mod url_form;
mod values;
mod verdict;
mod verify;

use http::{HeaderMap, Method};
use time::OffsetDateTime;

pub use ack::Ack;
pub use challenge::{Answer, Challenged, challenge};
pub use challenge_rule::Challenge;
pub use cloudevents::EventError;
pub use decide::{Kept, Subscribers};
pub use digest::short_digest;
pub use error::{KeyStep, SourceError};
pub use event::Event;
pub use filter::Filter;
pub use function_request::FunctionRequest;
pub use key::{KeyError, KeyForm, PublicForm};
pub use kind::{Due, Format, Gap, Kind, Listed, Mqtt, Nats, Origin, OwnEvent, PlatformEvents, Program, Schedule, Step};
pub use message::CREDENTIALS;
pub use occurrence::{Run, occurrence_id};
pub use own_event::Fact;
pub use preset::{BodyRule, Need, Otherwise, Preset, Presets};
pub use printed::{Broken, Message, Messages, Printed, Unreadable};
pub use probe::{Held, probe};
pub use receiver::{Decision, Defaults, Receiver};
pub use reference::{HmacForm, JsonPath, ParseError, Reference};
pub use resolve::{Input, ResolveError};
pub use route::{Debounced, Route};
pub use scheme::{Algorithm, BodyHash, Check, HmacHash, Scheme, Signed, TimeUnit, TimestampRule, UrlForm, Verify};
pub use seal::{SealError, SealKey};
pub use secret::{Secret, Secrets};
pub use sign::{SignError, SignedRequest, sign};
pub use signature::{Encoding, First, Pick, SignatureRule, SignatureSource};
pub use source::{
    AnswerBy, DEFAULT_KEEP, DEFAULT_MAX_BODY, DebounceSpec, RetryOverride, RouteSpec, SecretUse, Source, Unverified,
};
pub use template::Template;
pub use text::Pattern;
pub use values::Rate;
pub use verdict::{Reason, Verdict};
pub use verify::verify;

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
