//! A body that fails when its sender is silent for too long.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep};

use crate::BodyError;

/// Passes a body on, and ends it with [`Stalled`] when nothing comes for too long.
///
/// Time counts only while more of the body is asked for.
pub struct Awaited<B> {
    body: B,
    idle: Duration,
    has_waited: bool,
    gives_up: Option<Pin<Box<Sleep>>>,
}

/// Nothing of a body came for too long.
#[derive(Debug, Error)]
#[error("nothing of the body came for {0:?}")]
pub struct Stalled(Duration);

impl<B> Awaited<B> {
    pub fn new(body: B, idle: Duration) -> Self {
        Self { body, idle, has_waited: false, gives_up: None }
    }
}

impl<B> Body for Awaited<B>
where
    B: Body<Data = Bytes, Error: Into<BodyError>> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            if let Some(gives_up) = &mut this.gives_up
                && let Some(deadline) = Instant::now().checked_add(this.idle)
            {
                gives_up.as_mut().reset(deadline);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        if !this.has_waited {
            // Most bodies have come with their head, and are there when they are asked for once more: they need no timer.
            this.has_waited = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let idle = this.idle;
        let gives_up = this.gives_up.get_or_insert_with(|| Box::pin(sleep(idle)));
        ready!(gives_up.as_mut().poll(context));
        Poll::Ready(Some(Err(Stalled(idle).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt, stream};
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    /// One piece after each of these pauses.
    async fn received(pauses: &'static [u64]) -> Result<usize, BodyError> {
        let pieces = stream::iter(pauses).then(async |pause| {
            sleep(Duration::from_secs(*pause)).await;
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x")))
        });
        let body = Awaited::new(StreamBody::new(Box::pin(pieces)), IDLE);
        Ok(body.collect().await?.to_bytes().len())
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_has_the_time_for_each_piece_and_no_more() {
        assert_eq!(received(&[]).await.unwrap(), 0);
        assert_eq!(received(&[9, 9, 0, 9, 9]).await.unwrap(), 5);
        let began = Instant::now();
        let error = received(&[9, 9, 11]).await.unwrap_err();
        assert!(error.is::<Stalled>(), "{error}");
        assert_eq!(began.elapsed().as_secs(), 28);
    }
}
