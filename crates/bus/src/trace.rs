//! What spans of calls in the queue show, by the names of OpenTelemetry's conventions for messaging.

use skep_protocol::{Call, CallId, FunctionName, headers};
use skep_trace::{Attributes, Description, Span, Value};

/// The subject of a queued call, of few values.
const DESTINATION: &str = "skep.invoke.{lane}.{function}.{call}";

/// Describes the span that puts a call into the queue.
pub fn describe_publish(span: &Span, call: &Call) {
    let (id, function) = (call.call_id.clone(), call.function.clone());
    let size = call.body.length();
    let trigger = trigger_of(call);
    span.describe(move |description| {
        description.name = "publish skep.invoke".into();
        add(description, ("publish", "send"), &id, &function);
        let more = [("messaging.message.body.size", Value::from(size)), ("faas.trigger", trigger.into())];
        description.attributes.extend(more);
    });
}

/// Describes the span of an attempt to run a queued call.
pub fn describe_process(span: &Span, call: &Call) {
    let (id, function, link) = (call.call_id.clone(), call.function.clone(), call.trace.clone());
    let trigger = trigger_of(call);
    span.describe(move |description| {
        description.name = "process skep.invoke".into();
        add(description, ("process", "process"), &id, &function);
        description.attributes.push(("faas.trigger", trigger.into()));
        description.links.extend(link);
    });
}

fn add(
    description: &mut Description,
    (name, kind): (&'static str, &'static str),
    id: &CallId,
    function: &FunctionName,
) {
    let attributes: Attributes = vec![
        ("messaging.system", "nats".into()),
        ("messaging.operation.name", name.into()),
        ("messaging.operation.type", kind.into()),
        ("messaging.destination.template", DESTINATION.into()),
        ("messaging.message.id", id.to_string().into()),
        ("skep.call.id", id.to_string().into()),
        ("faas.invoked_name", function.to_string().into()),
        ("faas.invoked_provider", "skep".into()),
    ];
    description.attributes.extend(attributes);
}

/// What made the call: a schedule, a request, or a message.
fn trigger_of(call: &Call) -> &'static str {
    if call.occurrence.is_some() {
        "timer"
    } else if call.headers.contains_key(headers::START_TIME) {
        "http"
    } else {
        "pubsub"
    }
}
