use std::time::Duration;

use opentelemetry::trace::{TraceFlags, TraceId, TraceState};
use opentelemetry_proto::{
    tonic::collector::trace::v1::ExportTraceServiceRequest,
    transform::{common::tonic::ResourceAttributesWithSchema, trace::tonic::group_spans_by_resource_and_scope},
};
use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
use proptest::prelude::*;
use prost::Message;

use super::*;

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("skep").with_version("1.2.3").build()
}

/// What the official crates send.
fn official(resource: &Resource, spans: Vec<SpanData>) -> Vec<u8> {
    let resource = ResourceAttributesWithSchema::from(resource);
    ExportTraceServiceRequest { resource_spans: group_spans_by_resource_and_scope(spans, &resource) }.encode_to_vec()
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,300}".prop_map(Value::from),
    ]
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    prop::collection::vec(("[a-z.]{1,140}", value()).prop_map(|(name, value)| KeyValue::new(name, value)), 0..8)
}

fn context() -> impl Strategy<Value = SpanContext> {
    (any::<[u8; 16]>(), any::<[u8; 8]>(), any::<[bool; 2]>(), "[a-z]{0,9}").prop_map(|(trace, span, flags, state)| {
        SpanContext::new(
            TraceId::from_bytes(trace),
            SpanId::from_bytes(span),
            if flags[0] { TraceFlags::SAMPLED } else { TraceFlags::default() },
            flags[1],
            TraceState::from_key_value([("a", state)]).unwrap_or_default(),
        )
    })
}

prop_compose! {
    fn event()(name in "[a-z_]{0,20}", at in 0..u64::MAX / 2, attributes in attributes()) -> Event {
        Event::new(name, UNIX_EPOCH + Duration::from_nanos(at), attributes, 0)
    }
}

prop_compose! {
    fn span()(
        span_context in context(),
        parent in prop_oneof![Just([0; 8]), any::<[u8; 8]>()],
        parent_span_is_remote in any::<bool>(),
        span_kind in prop::sample::select(&[SpanKind::Internal, SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer][..]),
        name in "\\PC{0,40}",
        (start, took) in (0..u64::MAX / 4, 0..u64::MAX / 4),
        attributes in attributes(),
        events in prop::collection::vec(event(), 0..3),
        links in prop::collection::vec((context(), attributes()), 0..3),
        status in prop_oneof![Just(Status::Unset), Just(Status::Ok), "\\PC{0,200}".prop_map(Status::error)],
    ) -> SpanData {
        let (mut of_events, mut of_links) = (SpanEvents::default(), SpanLinks::default());
        of_events.events = events;
        of_links.links = links.into_iter().map(|(context, given)| Link::new(context, given, 0)).collect();
        SpanData {
            span_context,
            parent_span_id: SpanId::from_bytes(parent),
            parent_span_is_remote,
            span_kind,
            name: name.into(),
            start_time: UNIX_EPOCH + Duration::from_nanos(start),
            end_time: UNIX_EPOCH + Duration::from_nanos(start + took),
            attributes,
            dropped_attributes_count: 0,
            events: of_events,
            links: of_links,
            status,
            instrumentation_scope: scope(),
        }
    }
}

proptest! {
    #[test]
    fn a_batch_has_the_bytes_that_the_official_crates_write(
        spans in prop::collection::vec(span(), 1..5),
        of_resource in attributes(),
    ) {
        let resource = Resource::builder_empty().with_attributes(of_resource).build();
        let written = Encoder::new(&resource, &scope()).batch(&spans);
        prop_assert_eq!(written.as_ref(), official(&resource, spans));
    }
}

#[test]
fn lengths_of_any_size_are_written() {
    for number in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX] {
        let mut written = Vec::new();
        put_varint(&mut written, number);
        assert_eq!(varint_length(number), written.len(), "{number}");
        assert_eq!(prost::encoding::decode_varint(&mut written.as_slice()), Ok(number));
    }
}
