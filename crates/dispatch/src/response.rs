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
use tokio::time::Instant;

use crate::{BodyError, Function, endpoint::Endpoint};

/// One call from its start to the end of its answer; dropping it counts it.
pub(crate) struct CallGuard {
    function: Arc<Function>,
    started: Instant,
    pub(crate) code: StatusCode,
}

impl CallGuard {
    pub(crate) fn begin(function: &Arc<Function>) -> Self {
        function.metrics.count_start();
        function.usage.begin();
        Self { function: Arc::clone(function), started: Instant::now(), code: StatusCode::BAD_GATEWAY }
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.function.metrics.count_end(self.code, self.started.elapsed());
        self.function.usage.end();
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
}

impl ResponseBody {
    pub(crate) fn new(incoming: Incoming, in_flight: InFlight, call: CallGuard) -> Self {
        let mut body = Self { incoming, in_flight, _call: call };
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
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
