//! The body of a request or of an answer, wherever its bytes come from.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};

use crate::BodyError;

/// A body: all of it, or a stream of it.
pub struct Body(Source);

enum Source {
    Whole(Full<Bytes>),
    /// As hyper reads it from a connection.
    Received {
        body: hyper::body::Incoming,
        /// Becomes true once the body was read to its end.
        is_read: Arc<AtomicBool>,
    },
    Stream(UnsyncBoxBody<Bytes, BodyError>),
}

impl Body {
    /// A body without bytes.
    pub fn empty() -> Self {
        Self(Source::Whole(Full::default()))
    }

    /// A body that streams.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
    {
        Self(Source::Stream(body.map_err(Into::into).boxed_unsync()))
    }

    /// The body of a request, which sets `is_read` once it was read to its end.
    pub(crate) fn received(body: hyper::body::Incoming, is_read: Arc<AtomicBool>) -> Self {
        Self(Source::Received { body, is_read })
    }

    /// Whether all of it is here, so that reading it never waits.
    pub fn is_whole(&self) -> bool {
        matches!(self.0, Source::Whole(_))
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Source::Whole(Full::new(bytes)))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.0 {
            Source::Whole(_) => "whole",
            Source::Received { .. } => "received",
            Source::Stream(_) => "stream",
        };
        formatter.debug_tuple("Body").field(&source).finish()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Source::Whole(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
            Source::Received { body, is_read } => {
                let frame = Pin::new(&mut *body).poll_frame(context).map_err(Into::into);
                if matches!(frame, Poll::Ready(None)) || body.is_end_stream() {
                    is_read.store(true, Ordering::Relaxed);
                }
                frame
            }
            Source::Stream(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Whole(body) => body.is_end_stream(),
            Source::Received { body, .. } => body.is_end_stream(),
            Source::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Whole(body) => body.size_hint(),
            Source::Received { body, .. } => body.size_hint(),
            Source::Stream(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::stream;
    use http_body::Body as _;
    use http_body_util::StreamBody;

    use super::*;

    #[tokio::test]
    async fn a_body_has_the_bytes_the_length_and_the_error_of_its_source() {
        let whole = Body::from(Bytes::from_static(b"hello"));
        assert_eq!((whole.is_whole(), whole.size_hint().exact(), whole.is_end_stream()), (true, Some(5), false));
        assert_eq!(whole.collect().await.unwrap().to_bytes(), "hello");
        assert!(Body::empty().is_end_stream() && Body::from(Bytes::new()).is_end_stream());

        let frames = [Ok(Frame::data(Bytes::from_static(b"a"))), Err(io::Error::other("gone"))];
        let mut streamed = Body::new(StreamBody::new(stream::iter(frames)));
        assert!(!streamed.is_whole() && streamed.size_hint().exact().is_none());
        assert_eq!(streamed.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
        assert_eq!(streamed.frame().await.unwrap().unwrap_err().to_string(), "gone");
    }
}
