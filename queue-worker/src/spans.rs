//! The spans of the worker: each carries the call id, the function and the attempt, so that log lines inside do not repeat them.
//!
//! They have the level of errors, so that no log filter takes them from a line that it lets pass.
//! Only [`attempt`] adds nothing for a log; it costs nothing while nobody asks for it.
//!
//! Spans of traces are others: those of [`process`], [`publish`] and [`callback_try`] go to a collector, if there is one.

use std::{fmt::Display, sync::Arc};

use skep_bus::{Delivery, describe_process, describe_publish};
use skep_protocol::{Call, CallRecord, CallStatus, SourceName};
use skep_trace::{Context, Incoming, Kind, Start, Tracer};
use tracing::{Span, debug_span, error_span};
use url::Url;

use crate::Worker;

/// A call that was delivered to this worker, until the delivery ends.
pub(crate) fn delivery(call: &Call) -> Span {
    error_span!("delivery", call_id = %call.call_id, function = %call.function, attempt = call.attempts() + 1, trace_id = trace_id(call.trace.as_ref()).map(tracing::field::display))
}

/// One attempt to run a call, within its delivery.
pub(crate) fn attempt(number: u64) -> Span {
    debug_span!("attempt", number)
}

/// A call on its way into a queue: a delayed one that is due, or that of an event's route.
pub(crate) fn queueing(call: &Call) -> Span {
    error_span!("queueing", call_id = %call.call_id, function = %call.function, attempt = call.attempts() + 1, trace_id = trace_id(call.trace.as_ref()).map(tracing::field::display))
}

/// One attempt to deliver a callback.
pub(crate) fn callback(delivery: &Delivery<CallRecord>) -> Span {
    match &delivery.content {
        Ok(CallRecord { status, .. }) => error_span!(
            "callback",
            call_id = %status.call_id,
            function = %status.function,
            attempt = delivery.delivered,
            trace_id = trace_id(status.trace.as_ref()).map(tracing::field::display),
        ),
        Err(_) => Span::none(),
    }
}

/// The span of an attempt in its trace; none while nothing is exported.
pub(crate) fn process(
    tracer: &Tracer,
    delivery: &Delivery<Call>,
    call: &Call,
    number: u64,
) -> Option<Arc<skep_trace::Span>> {
    let span = tracer.begin(Start { kind: Kind::Consumer, parent: call.trace.as_ref() })?;
    describe_process(&span, call);
    let waited = (skep_bus::now() - delivery.stored_at()).try_into().unwrap_or_default();
    span.describe(move |description| {
        description.attributes.push(("skep.attempt", number.into()));
        description.attributes.push(("skep.queue.seconds", std::time::Duration::into(waited)));
    });
    let span = Arc::new(span);
    span.watch();
    Some(span)
}

/// Puts a call into the trace that its source belongs to, or into a new one. The span that is returned lasts until the call is stored.
pub(crate) fn publish(worker: &Worker, incoming: &Incoming, call: &mut Call) -> Option<skep_trace::Span> {
    let span = worker.config.tracer.enter(Kind::Producer, incoming);
    if let Some(span) = &span
        && let Some(function) = worker.dispatch.registry().get(&call.function)
    {
        function.policy.traced.iter().for_each(|sampled| span.decide(*sampled));
    }
    call.trace = span.as_ref().map(skep_trace::Span::context).or(incoming.parent.as_ref()).cloned();
    span.inspect(|span| describe_publish(span, call))
}

/// The same of a call that follows from something of skep's own.
pub(crate) fn publish_within(worker: &Worker, parent: Option<&Context>, call: &mut Call) -> Option<skep_trace::Span> {
    publish(worker, &Incoming { parent: parent.cloned(), stranger: None }, call)
}

/// The span of a message of a topic that becomes events.
pub(crate) fn topic(tracer: &Tracer, incoming: &Incoming, source: &SourceName) -> Option<skep_trace::Span> {
    let span = tracer.enter(Kind::Consumer, incoming)?;
    let source = source.clone();
    span.describe(move |description| {
        description.name = "process topic".into();
        description.attributes.push(("messaging.system", "nats".into()));
        description.attributes.push(("messaging.operation.name", "process".into()));
        description.attributes.push(("messaging.operation.type", "process".into()));
        description.attributes.push(("skep.source", source.to_string().into()));
    });
    Some(span)
}

/// Sends the span of a call that ends before an attempt of it is made.
pub(crate) fn dead(tracer: &Tracer, call: &Call, reason: &str) {
    let Some(span) = tracer.begin(Start { kind: Kind::Consumer, parent: call.trace.as_ref() }) else { return };
    describe_process(&span, call);
    let reason = reason.to_owned();
    span.describe(move |description| {
        description.attributes.push(("skep.outcome", "dead".into()));
        description.error = Some(reason.into());
    });
    span.fail();
}

/// The span of a try to deliver a callback. Of the URL it has the host alone.
pub(crate) fn callback_try(
    tracer: &Tracer,
    parent: Option<&Context>,
    url: &Url,
    number: u64,
) -> Option<skep_trace::Span> {
    let span = tracer.begin(Start { kind: Kind::Client, parent })?;
    let (host, port) = (url.host_str().unwrap_or_default().to_owned(), url.port_or_known_default());
    span.describe(move |description| {
        description.name = "POST".into();
        description.attributes.push(("http.request.method", "POST".into()));
        description.attributes.push(("server.address", host.into()));
        description.attributes.extend(port.map(|port| ("server.port", u64::from(port).into())));
        if number > 1 {
            description.attributes.push(("http.request.resend_count", (number - 1).into()));
        }
    });
    Some(span)
}

/// The span of a try to publish a callback on a subject of NATS.
pub(crate) fn callback_publish(tracer: &Tracer, status: &CallStatus, subject: &str) -> Option<skep_trace::Span> {
    let span = tracer.begin(Start { kind: Kind::Producer, parent: status.trace.as_ref() })?;
    let (subject, call_id) = (subject.to_owned(), status.call_id.clone());
    span.describe(move |description| {
        description.name = "publish callback".into();
        description.attributes.push(("messaging.system", "nats".into()));
        description.attributes.push(("messaging.operation.name", "publish".into()));
        description.attributes.push(("messaging.operation.type", "send".into()));
        description.attributes.push(("messaging.destination.name", subject.into()));
        description.attributes.push(("skep.call.id", call_id.to_string().into()));
    });
    Some(span)
}

/// Notes why what a span is of has failed.
pub(crate) fn failed(span: &skep_trace::Span, reason: &str) {
    let reason = reason.to_owned();
    span.describe(|description| description.error = Some(reason.into()));
    span.fail();
}

/// The id of a trace, for a log line.
fn trace_id(trace: Option<&Context>) -> Option<impl Display + use<>> {
    trace.map(|trace| trace.trace_id)
}
