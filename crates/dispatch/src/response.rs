//! The body of an answer: when it ends the connection can be used again, and the call is counted.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use skep_http::Incoming;
use skep_trace::Span;
use tokio::time::Instant;
use tracing::debug;

use crate::{
    BodyError, Function,
    endpoint::Endpoint,
    trial::{End, Tally},
};

/// One call from its start to the end of its answer; dropping it counts it.
pub(crate) struct CallGuard {
    function: Arc<Function>,
    pub(crate) started: Instant,
    pub(crate) code: StatusCode,
    /// It ends with the call. Boxed, so that calls without one do not carry the room for it.
    pub(crate) span: Option<Box<Span>>,
}

impl CallGuard {
    pub(crate) fn begin(function: &Arc<Function>) -> Self {
        let started = Instant::now();
        function.metrics.count_start();
        function.usage.begin(started);
        Self { function: Arc::clone(function), started, code: StatusCode::BAD_GATEWAY, span: None }
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        let now = Instant::now();
        let took = now.saturating_duration_since(self.started);
        let sampled = self.span.as_mut().and_then(|span| {
            span.end_at(now.into_std());
            span.sampled_trace()
        });
        self.function.metrics.count_end(self.code, took, sampled);
        let (status, seconds) = (self.code.as_u16(), took.as_secs_f64());
        debug!(target: "skep_dispatch::calls", function = %self.function.name, status, seconds, "a call has ended");
        self.function.usage.end(now, took);
    }
}

/// One call in flight on a replica.
pub(crate) struct InFlight(pub(crate) Arc<Endpoint>);

impl InFlight {
    pub(crate) fn begin(endpoint: &Arc<Endpoint>) -> Self {
        endpoint.begin();
        Self(Arc::clone(endpoint))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Streams an answer. Dropped before its end it closes the connection, and so cancels the call.
pub(crate) struct ResponseBody {
    incoming: Incoming,
    in_flight: InFlight,
    _call: CallGuard,
    tally: Option<Tally>,
}

impl ResponseBody {
    pub(crate) fn new(incoming: Incoming, in_flight: InFlight, call: CallGuard, tally: Option<Tally>) -> Self {
        let mut body = Self { incoming, in_flight, _call: call, tally };
        if body.incoming.is_end_stream() {
            body.release();
        }
        body
    }

    fn release(&mut self) {
        if let Some(connection) = self.incoming.take_connection() {
            self.in_flight.0.put_idle(connection);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(context));
        if frame.is_none() || self.incoming.is_end_stream() {
            self.release();
        }
        if let Some(Err(_)) = &frame {
            Tally::ends(&mut self.tally, Some(End::Failed));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
