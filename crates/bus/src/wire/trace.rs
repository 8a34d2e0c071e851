//! Where a message belongs in a trace: the headers of W3C Trace Context, as NATS headers.

use async_nats::HeaderMap as NatsHeaders;
use skep_trace::Context;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// Writes where a message belongs in a trace. The names are in lower case, as W3C has them; a nats-server may act on them.
pub(crate) fn add_trace(headers: &mut NatsHeaders, trace: Option<&Context>) {
    let Some(trace) = trace else { return };
    headers.insert(TRACEPARENT, trace.traceparent());
    if let Some(state) = trace.tracestate() {
        headers.insert(TRACESTATE, state);
    }
}

/// Where a message belongs in a trace. A nats-server may have changed the case of the names.
pub(crate) fn read_trace(headers: &NatsHeaders) -> Option<Context> {
    let value = |wanted: &str| {
        let mut found = headers.iter().filter(|(name, _)| AsRef::<str>::as_ref(*name).eq_ignore_ascii_case(wanted));
        found.next().and_then(|(_, values)| values.first()).map(async_nats::HeaderValue::as_str)
    };
    Context::of_texts(value(TRACEPARENT)?, value(TRACESTATE))
}

/// Whether a header says where a message belongs in a trace.
pub(crate) fn is_of_trace(name: &str) -> bool {
    [TRACEPARENT, TRACESTATE].iter().any(|ours| name.eq_ignore_ascii_case(ours))
}
