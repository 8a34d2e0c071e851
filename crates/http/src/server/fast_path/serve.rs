//! The server's side of a connection, for as long as the requests on it are simple.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt, Join, join},
    net::tcp::OwnedReadHalf,
};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::{
    Body, BodyError, Error, Result,
    reader::{Reader, Upgraded},
    server::discard::Discard,
};

use super::{
    answer::answer,
    lazy_sleep::LazySleep,
    request::take_simple,
    strict::{AMBIGUOUS, is_ambiguous},
};

/// Serves simple requests: those that have come whole when they are read, and that every reader of HTTP understands in the same way.
///
/// They are most requests, and the straight way is theirs: no body that is still to come, no upgrade, no `Expect`, no other coding.
/// A connection on which anything else comes is given back with all that was not answered yet.
/// A request that readers could understand in two ways is answered 400, and its connection closed.
#[derive(Clone, Copy, Debug)]
pub struct FastPath {
    /// Beyond it, and in any case beyond 100, a request is not simple.
    pub max_headers: usize,
    /// Likewise, of the whole head.
    pub max_head_bytes: usize,
    /// A connection that is silent for this long is closed; `None` means never.
    pub idle: Option<Duration>,
}

/// A connection that speaks HTTP/1.1, and what has come on it and was not taken.
struct Connection<W> {
    reader: Reader,
    writer: W,
}

impl FastPath {
    /// Answers request after request, until one is not simple: then that one and all that follows is in what is returned.
    /// `None` is the end of the connection.
    ///
    /// When a caller goes away, what was to answer it is dropped.
    /// Once `leaving` is cancelled, or `end` has come, each answer is the last on its connection.
    pub async fn serve<W, S, B>(
        &self,
        (reader, writer): (OwnedReadHalf, W),
        leaving: &CancellationToken,
        end: impl Future<Output = ()>,
        service: &mut S,
    ) -> Option<Join<Upgraded, W>>
    where
        W: AsyncWrite + Unpin,
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
        B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Unpin,
    {
        let mut connection = Connection { reader: Reader::new(reader), writer };
        let mut idle = self.idle.map(LazySleep::new);
        let mut end = pin!(end);
        loop {
            let received = poll_fn(|context| {
                if let Poll::Ready(received) = connection.poll_received(context) {
                    return Poll::Ready(received.ok());
                }
                let is_over = end.as_mut().poll(context).is_ready()
                    || idle.as_mut().is_some_and(|idle| idle.poll(context).is_ready());
                if is_over { Poll::Ready(None) } else { Poll::Pending }
            });
            received.await?;
            let Some(request) = take_simple(&mut connection.reader.buffer, self) else {
                if is_ambiguous(&connection.reader.buffer) {
                    connection.refuse().await;
                    return None;
                }
                return Some(join(connection.reader.into_rest(), connection.writer));
            };
            let method = request.method().clone();
            let answering = pin!(async {
                poll_fn(|context| service.poll_ready(context)).await?;
                service.call(request.map(Body::from)).await
            });
            // The service itself reports how its answers end.
            if !connection.answer(&method, answering, leaving, end.as_mut()).await.ok()? {
                return None;
            }
            idle.as_mut().map(LazySleep::restart);
        }
    }
}

impl<W: AsyncWrite + Unpin> Connection<W> {
    /// Ready when there is something to read.
    fn poll_received(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        if self.reader.buffer.is_empty() && ready!(self.reader.poll_read(context))? == 0 {
            return Poll::Ready(Err(Error::Closed));
        }
        Poll::Ready(Ok(()))
    }

    /// Answers a request of this method. True if another one may come.
    async fn answer<B>(
        &mut self,
        method: &Method,
        mut answering: Pin<&mut impl Future<Output = Result<Response<B>, Infallible>>>,
        leaving: &CancellationToken,
        mut end: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<bool>
    where
        B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Unpin,
    {
        let response = poll_fn(|context| match answering.as_mut().poll(context) {
            Poll::Ready(Ok(response)) => {
                Poll::Ready(Ok((response, leaving.is_cancelled() || end.as_mut().poll(context).is_ready())))
            }
            Poll::Ready(Err(never)) => match never {},
            Poll::Pending => self.poll_gone(context).map(Err),
        });
        let (response, is_last) = response.await?;
        let (mut message, keep_alive) = answer(response, method, is_last);
        poll_fn(|context| match message.poll_send(&mut self.writer, context) {
            Poll::Ready(sent) => Poll::Ready(sent),
            Poll::Pending => self.poll_gone(context).map(Err),
        })
        .await?;
        Ok(keep_alive)
    }

    /// Answers an ambiguous request, the last one on its connection.
    async fn refuse(mut self) {
        let answer = format!(
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
             x-skep-error: ambiguous_request\r\n\r\n{AMBIGUOUS}",
            AMBIGUOUS.len()
        );
        // A client that is gone needs no answer.
        let _ = self.writer.write_all(answer.as_bytes()).await;
        let _ = self.writer.shutdown().await;
        let (mut discard, mut rest) = (Discard::new(), pin!(self.reader.into_rest()));
        while !poll_fn(|context| discard.poll_next(rest.as_mut(), context).map(|bytes| bytes.is_empty())).await {}
    }

    /// Ready when the caller has closed the connection; what it sends already is kept for later.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<Error> {
        if !self.reader.buffer.is_empty() {
            return Poll::Pending;
        }
        match ready!(self.reader.poll_unasked(context)) {
            Ok(0) => Poll::Ready(Error::Closed),
            Ok(_) => Poll::Pending,
            Err(error) => Poll::Ready(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        net::{TcpListener, TcpStream},
        time::sleep,
    };

    use super::*;

    #[tokio::test]
    async fn a_caller_that_goes_on_sending_while_it_is_answered_fills_no_more_than_one_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut caller = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (reader, writer) = listener.accept().await.unwrap().0.into_split();
        let mut connection = Connection { reader: Reader::new(reader), writer };
        caller.write_all(b"first").await.unwrap();
        poll_fn(|context| {
            assert!(connection.poll_gone(context).is_pending());
            if connection.reader.buffer.is_empty() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        caller.write_all(b"second").await.unwrap();
        sleep(Duration::from_millis(50)).await;
        assert!(poll_fn(|context| Poll::Ready(connection.poll_gone(context).is_pending())).await);
        assert_eq!(connection.reader.buffer, "first");
    }
}
