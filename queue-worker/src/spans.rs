//! The spans of the worker: each carries the call id, the function and the attempt, so that log lines inside do not repeat them.
//!
//! They have the level of errors, so that no log filter takes them from a line that it lets pass.
//! Only [`attempt`] adds nothing for a log; it costs nothing while nobody asks for it.

use skep_bus::Delivery;
use skep_protocol::{Call, CallRecord};
use tracing::{Span, debug_span, error_span};

/// A call that was delivered to this worker, until the delivery ends.
pub(crate) fn delivery(call: &Call) -> Span {
    error_span!("delivery", call_id = %call.call_id, function = %call.function, attempt = call.attempts() + 1)
}

/// One attempt to run a call, within its delivery.
pub(crate) fn attempt(number: u64) -> Span {
    debug_span!("attempt", number)
}

/// A call on its way into a queue: a delayed one that is due, or that of an event's route.
pub(crate) fn queueing(call: &Call) -> Span {
    error_span!("queueing", call_id = %call.call_id, function = %call.function, attempt = call.attempts() + 1)
}

/// One attempt to deliver a callback.
pub(crate) fn callback(delivery: &Delivery<CallRecord>) -> Span {
    match &delivery.content {
        Ok(CallRecord { status, .. }) => error_span!(
            "callback",
            call_id = %status.call_id,
            function = %status.function,
            attempt = delivery.delivered,
        ),
        Err(_) => Span::none(),
    }
}
