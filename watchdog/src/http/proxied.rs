//! The body of the program's answer on its way to the client.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use skep_http::Incoming;
use tokio::time::{Sleep, sleep_until};

use crate::{answer::BoxError, http::pool::Pool};

/// Gives the connection back at its end; if it is dropped before, the connection is closed, which tells the program.
pub(crate) struct ProxiedBody {
    body: Incoming,
    pool: Arc<Pool>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl ProxiedBody {
    /// After `until` it breaks off, so that the client does not take a part for the whole.
    pub(super) fn new(body: Incoming, pool: Arc<Pool>, until: Option<Instant>) -> Self {
        let mut proxied = Self { body, pool, deadline: None };
        if proxied.body.is_end_stream() {
            proxied.finish();
        } else {
            proxied.deadline = until.map(|until| Box::pin(sleep_until(until.into())));
        }
        proxied
    }

    fn finish(&mut self) {
        if let Some(connection) = self.body.take_connection() {
            self.pool.give_back(connection);
        }
    }
}

impl Body for ProxiedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            if this.body.is_end_stream() {
                this.finish();
            }
            return Poll::Ready(frame.map(|result| result.map_err(Into::into)));
        }
        let Some(deadline) = &mut this.deadline else {
            return Poll::Pending;
        };
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
