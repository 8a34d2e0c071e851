//! What became of a request whose answer has begun.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Body;
use tokio::net::tcp::OwnedWriteHalf;
use tokio_util::task::AbortOnDropHandle;

use crate::{BodyError, Error, Outgoing, Result};

#[derive(Debug)]
pub(crate) enum Upload {
    Sent(OwnedWriteHalf),
    /// The answer began before all was sent.
    UnderWay(AbortOnDropHandle<Result<OwnedWriteHalf>>),
    Failed,
}

impl Upload {
    /// Goes on with it whether the answer is read or not, because a function may answer only what it has read.
    pub(crate) fn under_way<B>(mut outgoing: Outgoing<B>, mut half: OwnedWriteHalf) -> Self
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        Self::UnderWay(AbortOnDropHandle::new(tokio::spawn(async move {
            poll_fn(|context| outgoing.poll_send(&mut half, context)).await?;
            Ok(half)
        })))
    }

    /// Fails when the body that was sent broke off.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Result<()> {
        let Self::UnderWay(task) = self else { return Ok(()) };
        let Poll::Ready(ended) = Pin::new(task).poll(context) else { return Ok(()) };
        // A task that has ended must not be asked again.
        *self = Self::Failed;
        match ended {
            Ok(Ok(half)) => *self = Self::Sent(half),
            Ok(Err(error @ Error::Body(_))) => return Err(error),
            // A server that does not read on may still answer.
            Ok(Err(_)) | Err(_) => {}
        }
        Ok(())
    }

    /// Goes on without the reader of the answer; it ends with the connection, if not before.
    pub(crate) fn leave(self) {
        if let Self::UnderWay(task) = self {
            task.detach();
        }
    }
}
