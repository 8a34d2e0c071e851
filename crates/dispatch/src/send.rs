//! Sending a request to a replica, and what its answer says.

use std::sync::Arc;

use http::{HeaderMap, Response};
use skep_http::{Connection, Incoming, NotAnswered};
use skep_protocol::headers;
use skep_trace::Span;

use crate::{
    Body, BodyError, Error, Function, Result, Taker, balance, connect, endpoint::Endpoint, mark, response::InFlight,
    trace, trial::End,
};

/// Replicas that are tried for one call while nothing of it was sent.
const MAX_ATTEMPTS: usize = 4;

/// Sends a request to one of these replicas of a function.
pub(crate) async fn send(
    function: &Function,
    endpoints: &[Arc<Endpoint>],
    mut request: Outgoing,
    noting: Noting<'_>,
) -> Result<Sent, Failed> {
    let mut last_error: Option<BodyError> = None;
    for before in 0..MAX_ATTEMPTS {
        let Some(endpoint) = balance::choose(endpoints) else {
            return Err(Failed { error: Error::NoReplica(function.name.clone()), unsent: Some(request.into()) });
        };
        noting.chosen(endpoint, before);
        let in_flight = InFlight::begin(endpoint);
        let connection = match connection(endpoint).await {
            Ok(connection) => connection,
            Err(error) => {
                last_error = Some(error);
                continue;
            }
        };
        match connection.send(request).await {
            Ok(response) => return Ok((response, in_flight)),
            // An idle connection that was closed under us: another may be tried.
            Err(NotAnswered { error, unsent: Some(unsent) }) => {
                note_lost_host(endpoint, &error);
                request = *unsent;
                last_error = Some(error.into());
            }
            Err(NotAnswered { error, unsent: None }) => {
                note_lost_host(endpoint, &error);
                return Err(Failed { error: failed(function, error), unsent: None });
            }
        }
    }
    let source = last_error.unwrap_or_else(|| "no attempt was made".into());
    let error = Error::Unreachable { function: function.name.clone(), source };
    Err(Failed { error, unsent: Some(request.into()) })
}

async fn connection(endpoint: &Endpoint) -> Result<Connection, BodyError> {
    if let Some(connection) = endpoint.take_idle() {
        return Ok(connection);
    }
    let opened = connect::connect(endpoint.address).await;
    match &opened {
        Ok(_) => endpoint.connected(),
        Err(error) if connect::is_of_lost_host(error) => endpoint.lost(),
        Err(_) => endpoint.refused(),
    }
    opened.map_err(BodyError::from)
}

/// Other calls are spared the wait for a host that has left this one without an answer.
fn note_lost_host(endpoint: &Endpoint, error: &skep_http::Error) {
    if let skep_http::Error::Io(error) = error
        && connect::is_of_lost_host(error)
    {
        endpoint.lost();
    }
}

/// Who wants to know what becomes of a call.
#[derive(Clone, Copy)]
pub(crate) struct Noting<'call> {
    pub(crate) taker: Option<&'call Taker>,
    pub(crate) span: Option<&'call Span>,
}

impl Noting<'_> {
    fn chosen(self, endpoint: &Arc<Endpoint>, before: usize) {
        if let Some(taker) = self.taker {
            taker.is(&endpoint.instance);
        }
        if let Some(span) = self.span {
            trace::taken_by(span, endpoint, before);
        }
    }
}

pub(crate) type Outgoing = skep_http::Outgoing<Body>;
/// An answer that has begun.
pub(crate) type Sent = (Response<Incoming>, InFlight);

/// A call that was not answered, and its request if nothing of it was sent.
pub(crate) struct Failed {
    pub(crate) error: Error,
    pub(crate) unsent: Option<Box<Outgoing>>,
}

pub(crate) fn failed(function: &Function, error: skep_http::Error) -> Error {
    match error {
        skep_http::Error::Body(source) => Error::RequestBody(source),
        error => Error::Broken { function: function.name.clone(), source: error.into() },
    }
}

/// An answer as its watchdog marked it, or the failure that the watchdog reports in it.
pub(crate) fn as_said(function: &Function, mut sent: Sent) -> Result<Sent> {
    mark::take_off(sent.0.headers_mut());
    match error_of_watchdog(function, sent.0.headers()) {
        Some(error) => Err(error),
        None => Ok(sent),
    }
}

/// How a call has ended where it was sent, as far as it is known once its answer has begun.
pub(crate) fn end_of(sent: &Result<Sent>) -> Option<End> {
    match sent {
        Ok((response, _)) => End::of_answer(response.status(), response.headers()),
        Err(error) => End::of_error(error),
    }
}

/// The watchdog's own report that a call failed, in an answer whose mark was checked. All callers see the same error for the same cause.
fn error_of_watchdog(function: &Function, headers: &HeaderMap) -> Option<Error> {
    if !headers.contains_key(headers::OPENFAAS_INTERNAL) {
        return None;
    }
    match headers.get(headers::SKEP_ERROR)?.as_bytes() {
        b"exec_timeout" => Some(Error::TimedOut(function.name.clone())),
        b"upstream" => {
            Some(Error::Broken { function: function.name.clone(), source: "its program closed the connection".into() })
        }
        _ => None,
    }
}
