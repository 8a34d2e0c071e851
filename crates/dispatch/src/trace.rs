//! The span of a call at its replica: from the request to the end of the answer.

use std::{sync::Arc, time::Duration};

use http::Request;
use skep_protocol::headers;
use skep_trace::{Kind, Span, method_name};
use tokio::time::Instant;

use crate::{Body, Error, endpoint::Endpoint};

/// Begins it, within that of the call, and passes its context to the replica.
pub(crate) fn begin(of_call: &Arc<Span>, now: Instant, request: &mut Request<Body>) -> Box<Span> {
    let span = of_call.child_from(Kind::Client, now.into_std());
    span.context().write(request.headers_mut());
    let method = method_name(request.method());
    span.describe(move |description| {
        description.name.clone_from(&method);
        description.attributes.push(("http.request.method", method.into()));
    });
    Box::new(span)
}

/// Notes which replica has the call, after how many that it could not be sent to.
pub(crate) fn taken_by(span: &Span, endpoint: &Arc<Endpoint>, before: usize) {
    let endpoint = Arc::clone(endpoint);
    span.describe(move |description| {
        description.attributes.push(("server.address", endpoint.ip.clone().into()));
        description.attributes.push(("server.port", u64::from(endpoint.address.port()).into()));
        description.attributes.push(("skep.replica", endpoint.instance.clone().into()));
        if before > 0 {
            description.attributes.push(("http.request.resend_count", (before as u64).into()));
        }
    });
}

/// Notes how long the call waited for a function that was scaled to zero.
pub(crate) fn woken(span: &Span, took: Duration) {
    let Some(of_call) = span.holder() else { return };
    of_call.describe(move |description| {
        description.attributes.push(("faas.coldstart", skep_trace::Value::Flag(true)));
        description.attributes.push(("skep.wake.seconds", took.into()));
    });
}

/// Notes what the replica answered, or why it did not.
pub(crate) fn answered<T>(span: &Span, answer: &Result<(http::Response<T>, crate::response::InFlight), Error>) {
    match answer {
        Ok((response, _)) => {
            let status = response.status().as_u16();
            // An answer that is no failure has no code.
            let code = || response.headers().get(headers::SKEP_ERROR)?.to_str().ok();
            let code = if status < 400 { None } else { code() };
            span.answered(status, code.map(|code| code.to_owned().into()));
        }
        Err(error) => {
            span.fail();
            let reason = error.to_string();
            let kind = kind_of(error);
            span.describe(move |description| {
                description.attributes.push(("error.type", kind.into()));
                description.error = Some(reason.into());
            });
        }
    }
}

fn kind_of(error: &Error) -> &'static str {
    match error {
        Error::NoReplica(_) | Error::TooManyHeld(_) => "no_replica",
        Error::Unreachable { .. } => "unreachable",
        Error::Broken { .. } => "broken",
        Error::TimedOut(_) => "timeout",
        Error::RequestBody(_) => "request_body",
    }
}
