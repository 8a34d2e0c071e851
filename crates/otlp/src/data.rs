//! Spans as OpenTelemetry's SDK has them.

use std::str::FromStr;

use opentelemetry::{
    InstrumentationScope, Key, KeyValue,
    trace::{Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use skep_trace::{Attributes, Context, Finished, Kind, Value};

pub(crate) fn of(span: Finished, scope: &InstrumentationScope) -> SpanData {
    let Finished { context, parent, kind, started_at, took, description, .. } = span;
    let mut events = SpanEvents::default();
    let marks = description.marks.into_iter();
    events.events.extend(marks.map(|mark| Event::new(mark.name, mark.at, attributes(mark.attributes), 0)));
    let mut links = SpanLinks::default();
    links.links.extend(description.links.iter().map(|link| Link::new(context_of(link, link.sampled), Vec::new(), 0)));
    SpanData {
        // One that is sent although its trace is not sampled counts as sampled from here on.
        span_context: context_of(&context, true),
        parent_span_id: parent.map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.span_id.to_bytes())),
        parent_span_is_remote: parent.is_some_and(|parent| parent.is_remote),
        span_kind: match kind {
            Kind::Internal => SpanKind::Internal,
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
            Kind::Producer => SpanKind::Producer,
            Kind::Consumer => SpanKind::Consumer,
        },
        name: description.name,
        start_time: started_at,
        end_time: started_at + took,
        attributes: attributes(description.attributes),
        dropped_attributes_count: 0,
        events,
        links,
        status: description.error.map_or(Status::Unset, |error| Status::Error { description: error }),
        instrumentation_scope: scope.clone(),
    }
}

fn context_of(context: &Context, sampled: bool) -> SpanContext {
    let state = context.tracestate().and_then(|state| TraceState::from_str(state).ok()).unwrap_or_default();
    SpanContext::new(
        TraceId::from_bytes(context.trace_id.to_bytes()),
        SpanId::from_bytes(context.span_id.to_bytes()),
        if sampled { TraceFlags::SAMPLED } else { TraceFlags::default() },
        true,
        state,
    )
}

fn attributes(attributes: Attributes) -> Vec<KeyValue> {
    let value = |value| match value {
        Value::Text(text) => opentelemetry::Value::String(match text {
            std::borrow::Cow::Borrowed(text) => text.into(),
            std::borrow::Cow::Owned(text) => text.into(),
        }),
        Value::Integer(number) => number.into(),
        Value::Float(number) => number.into(),
        Value::Flag(flag) => flag.into(),
    };
    attributes.into_iter().map(|(name, given)| KeyValue::new(Key::from_static_str(name), value(given))).collect()
}
