//! Writes a batch of spans as the message that OTLP sends (`ExportTraceServiceRequest`).
//!
//! The official crates do the same by way of a struct for each message, with a string for the name of each attribute and a pass for each length.
//! This writes the same bytes once; a test compares them.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use opentelemetry::{
    InstrumentationScope, KeyValue, Value,
    trace::{Event, Link, SpanContext, SpanId, SpanKind, Status},
};
use opentelemetry_sdk::{Resource, trace::SpanData};

/// Types of fields on the wire.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

/// Bits of a span's flags: it is known whether the context is another process's, and it is.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// The most bytes of a field's head: its tag, and a length.
const HEAD: usize = 11;
/// The usual size of a span with its attributes.
const SPAN: usize = 1024;

/// What all batches of a process begin with.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// Field 1 of the spans of a resource.
    resource: Vec<u8>,
    /// Field 1 of the spans of a scope.
    scope: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new(resource: &Resource, scope: &InstrumentationScope) -> Self {
        let mut attributes = Vec::new();
        resource.iter().for_each(|(key, value)| put_attribute(&mut attributes, 1, key.as_str(), value));
        let mut named = Vec::new();
        put_text(&mut named, 1, scope.name());
        put_text(&mut named, 2, scope.version().unwrap_or_default());
        let (mut resource, mut scope) = (Vec::new(), Vec::new());
        put_bytes(&mut resource, 1, &attributes);
        put_bytes(&mut scope, 1, &named);
        Self { resource, scope }
    }

    /// The whole message.
    pub(crate) fn batch(&self, spans: &[SpanData]) -> Bytes {
        // What comes first says how long the rest is, so there is room for it before the spans.
        let room = 3 * HEAD + self.resource.len() + self.scope.len();
        let mut whole = Vec::with_capacity(room + spans.len() * SPAN);
        whole.resize(room, 0);
        let mut one = Vec::with_capacity(SPAN);
        for span in spans {
            one.clear();
            put_span(&mut one, span);
            put_bytes(&mut whole, 2, &one);
        }
        let of_scope = self.scope.len() + whole.len() - room;
        let mut of_resource = self.resource.clone();
        put_head(&mut of_resource, 2, of_scope);
        let mut first = Vec::with_capacity(room);
        put_head(&mut first, 1, of_resource.len() + of_scope);
        first.extend_from_slice(&of_resource);
        first.extend_from_slice(&self.scope);
        let begin = room - first.len();
        whole[begin..room].copy_from_slice(&first);
        Bytes::from(whole).slice(begin..)
    }
}

fn put_span(whole: &mut Vec<u8>, span: &SpanData) {
    let context = &span.span_context;
    put_place(whole, context);
    if span.parent_span_id != SpanId::INVALID {
        put_bytes(whole, 4, &span.parent_span_id.to_bytes());
    }
    put_text(whole, 5, &span.name);
    put_number(whole, 6, kind(&span.span_kind));
    put_time(whole, 7, span.start_time);
    put_time(whole, 8, span.end_time);
    put_attributes(whole, 9, &span.attributes);
    span.events.iter().for_each(|event| put_event(whole, event));
    span.links.iter().for_each(|link| put_link(whole, link));
    put_status(whole, &span.status);
    put_flags(whole, 16, context, span.parent_span_is_remote);
}

/// Fields 1 to 3 of a span and of a link.
fn put_place(whole: &mut Vec<u8>, context: &SpanContext) {
    put_bytes(whole, 1, &context.trace_id().to_bytes());
    put_bytes(whole, 2, &context.span_id().to_bytes());
    put_text(whole, 3, &context.trace_state().header());
}

fn put_flags(whole: &mut Vec<u8>, field: u32, context: &SpanContext, is_remote: bool) {
    let remote = if is_remote { IS_REMOTE } else { 0 };
    let flags = u32::from(context.trace_flags().to_u8()) | HAS_IS_REMOTE | remote;
    put_tag(whole, field, FIXED32);
    whole.extend_from_slice(&flags.to_le_bytes());
}

fn put_event(whole: &mut Vec<u8>, event: &Event) {
    let mut inner = Vec::new();
    put_time(&mut inner, 1, event.timestamp);
    put_text(&mut inner, 2, &event.name);
    put_attributes(&mut inner, 3, &event.attributes);
    put_bytes(whole, 11, &inner);
}

fn put_link(whole: &mut Vec<u8>, link: &Link) {
    let mut inner = Vec::new();
    put_place(&mut inner, &link.span_context);
    put_attributes(&mut inner, 4, &link.attributes);
    put_flags(&mut inner, 6, &link.span_context, link.span_context.is_remote());
    put_bytes(whole, 13, &inner);
}

fn put_status(whole: &mut Vec<u8>, status: &Status) {
    let mut inner = Vec::new();
    let code = match status {
        Status::Unset => 0,
        Status::Ok => 1,
        Status::Error { description } => {
            put_text(&mut inner, 2, description);
            2
        }
    };
    put_number(&mut inner, 3, code);
    put_bytes(whole, 15, &inner);
}

fn kind(kind: &SpanKind) -> u64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

fn put_attributes(whole: &mut Vec<u8>, field: u32, attributes: &[KeyValue]) {
    attributes.iter().for_each(|given| put_attribute(whole, field, given.key.as_str(), &given.value));
}

/// The value is a message within the attribute's, so its length is computed first.
fn put_attribute(whole: &mut Vec<u8>, field: u32, name: &str, value: &Value) {
    match value {
        Value::Bool(flag) => {
            put_name(whole, field, name, 2);
            put_tag(whole, 2, VARINT);
            whole.push(u8::from(*flag));
        }
        Value::I64(number) => {
            let number = number.cast_unsigned();
            put_name(whole, field, name, 1 + varint_length(number));
            put_tag(whole, 3, VARINT);
            put_varint(whole, number);
        }
        Value::F64(number) => {
            put_name(whole, field, name, 9);
            put_tag(whole, 4, FIXED64);
            whole.extend_from_slice(&number.to_le_bytes());
        }
        Value::String(text) => put_text_attribute(whole, field, name, text.as_str()),
        // Skep has no lists; they would go as text.
        list => put_text_attribute(whole, field, name, &list.as_str()),
    }
}

fn put_text_attribute(whole: &mut Vec<u8>, field: u32, name: &str, text: &str) {
    let of_value = 2 + text.len();
    let of_all = 2 + name.len() + 2 + of_value;
    if of_all < 0x80 {
        // As nearly all are: each tag and each length is one byte.
        let byte = |number: usize| number.to_le_bytes()[0];
        let [tag, ..] = (field << 3 | BYTES).to_le_bytes();
        whole.extend_from_slice(&[tag, byte(of_all), 0x0a, byte(name.len())]);
        whole.extend_from_slice(name.as_bytes());
        whole.extend_from_slice(&[0x12, byte(of_value), 0x0a, byte(text.len())]);
        whole.extend_from_slice(text.as_bytes());
        return;
    }
    put_name(whole, field, name, head_length(text.len()) + text.len());
    put_bytes(whole, 1, text.as_bytes());
}

/// The head of an attribute, its name, and the head of its value.
fn put_name(whole: &mut Vec<u8>, field: u32, name: &str, value: usize) {
    put_head(whole, field, head_length(name.len()) + name.len() + head_length(value) + value);
    put_bytes(whole, 1, name.as_bytes());
    put_head(whole, 2, value);
}

/// A text that is empty is left out.
fn put_text(whole: &mut Vec<u8>, field: u32, text: &str) {
    if !text.is_empty() {
        put_bytes(whole, field, text.as_bytes());
    }
}

fn put_bytes(whole: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_head(whole, field, bytes.len());
    whole.extend_from_slice(bytes);
}

/// A number that is zero is left out.
fn put_number(whole: &mut Vec<u8>, field: u32, number: u64) {
    if number > 0 {
        put_tag(whole, field, VARINT);
        put_varint(whole, number);
    }
}

fn put_time(whole: &mut Vec<u8>, field: u32, time: SystemTime) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanoseconds = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    if nanoseconds > 0 {
        put_tag(whole, field, FIXED64);
        whole.extend_from_slice(&nanoseconds.to_le_bytes());
    }
}

/// The tag of a field with a length, and the length.
fn put_head(whole: &mut Vec<u8>, field: u32, length: usize) {
    put_tag(whole, field, BYTES);
    put_varint(whole, length as u64);
}

/// Of a field below 16.
fn head_length(length: usize) -> usize {
    1 + varint_length(length as u64)
}

fn put_tag(whole: &mut Vec<u8>, field: u32, wire: u32) {
    put_varint(whole, u64::from(field << 3 | wire));
}

fn put_varint(whole: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        whole.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    whole.push(number.to_le_bytes()[0]);
}

fn varint_length(number: u64) -> usize {
    let bits = 64 - (number | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

#[cfg(test)]
#[path = "encode/tests.rs"]
mod tests;
