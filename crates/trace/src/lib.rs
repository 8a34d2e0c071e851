//! Traces: which trace a call belongs to, whether it is sampled, and the spans that are made of it.
//!
//! A [`Context`] travels with a call in the headers `traceparent` and `tracestate` of W3C Trace Context, over HTTP, NATS and into records.
//! A [`Tracer`] decides about the context of a new call, and makes [`Span`]s, which go to a [`Sink`] when they end.
//!
//! This crate does no I/O. While nothing is exported there are no spans at all, and contexts are only passed on.

mod context;
mod hex;
mod ids;
mod kept;
mod live;
mod method;
mod sampler;
mod span;
mod state;
mod tracer;
mod trust;
mod value;

pub use context::{Context, TRACEPARENT, TRACESTATE, remove};
pub use ids::{InvalidId, SpanId, TraceId};
pub use method::method_name;
pub use sampler::{InvalidSampler, Sampler};
pub use span::{Description, Finished, Kind, Mark, Parent, Span};
pub use tracer::{Incoming, Sink, Start, Tracer};
pub use trust::Trust;
pub use value::{Attributes, Value};
