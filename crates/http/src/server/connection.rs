//! One connection from its first byte to its last.

use std::{
    convert::Infallible,
    future::{pending, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tower::Service;

use crate::{Body, BodyError};

use super::{
    event::Event,
    fast_path::{AMBIGUOUS, has_ambiguous_coding},
    peer::Peer,
    serve::Shared,
};

/// What a connection turned out to speak.
enum Begun {
    Http1(TcpStream),
    /// HTTP/2 without encryption.
    #[cfg(feature = "http2")]
    Http2(TcpStream),
    #[cfg(feature = "tls")]
    Encrypted {
        stream: Box<crate::tls::TlsStream>,
        is_http2: bool,
    },
}

impl<M, S, B> Shared<M>
where
    M: Fn(Peer) -> S + Send + Sync + 'static,
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + Unpin + 'static,
{
    pub(super) async fn connection(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let begun = tokio::select! {
            // A request that has come already is answered.
            biased;
            begun = within(self.limits.header_read_timeout, self.begin(stream)) => begun,
            () = self.connections.closing() => return,
        };
        let begun = match begun {
            Some(Ok(begun)) => begun,
            Some(Err(error)) => return self.failed("a connection did not begin", Some(&error.into()), peer),
            None => return self.failed("a connection was closed because nothing came", None, peer),
        };
        let mut service = (self.make)(Peer::new(peer, self.tls.is_some()));
        let ended = match begun {
            Begun::Http1(stream) => {
                let (leaving, closing) = (self.connections.leaving(), self.connections.closing());
                match self.fast_path.serve(stream.into_split(), leaving, closing, &mut service).await {
                    Some(rest) => Box::pin(self.serve_http1(rest, service)).await,
                    None => Ok(()),
                }
            }
            #[cfg(feature = "http2")]
            Begun::Http2(stream) => Box::pin(self.serve_http2(stream, service)).await,
            #[cfg(feature = "tls")]
            Begun::Encrypted { stream, is_http2: true } => Box::pin(self.serve_http2(*stream, service)).await,
            #[cfg(feature = "tls")]
            Begun::Encrypted { stream, is_http2: false } => Box::pin(self.serve_http1(*stream, service)).await,
        };
        if let Err(error) = ended {
            self.failed("a connection ended with an error", Some(&error.into()), peer);
        }
    }

    /// Finds out what a connection speaks.
    async fn begin(&self, stream: TcpStream) -> io::Result<Begun> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let (stream, is_http2) = tls.accept(stream).await?;
            return Ok(Begun::Encrypted { stream: Box::new(stream), is_http2 });
        }
        #[cfg(feature = "http2")]
        if self.limits.max_streams > 0 && super::http2::begins_with_preface(&stream).await? {
            return Ok(Begun::Http2(stream));
        }
        Ok(Begun::Http1(stream))
    }

    /// Serves requests of all kinds.
    async fn serve_http1(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        service: S,
    ) -> Result<(), String> {
        let service = service_fn(|request| self.answer(service.clone(), request));
        let connection = self.http1.serve_connection(TokioIo::new(stream), service).with_upgrades();
        until_end(connection, |connection| connection.graceful_shutdown(), self.connections.closing(), pending()).await
    }

    /// Answers a request that hyper has read.
    pub(super) async fn answer(
        &self,
        mut service: S,
        request: Request<Incoming>,
    ) -> Result<Response<Either<B, Full<Bytes>>>, Infallible> {
        let is_http1 = request.version() <= Version::HTTP_11;
        if is_http1 && has_ambiguous_coding(request.headers()) {
            return Ok(ambiguous().map(Either::Right));
        }
        poll_fn(|context| service.poll_ready(context)).await?;
        let mut response = service.call(request.map(Body::from)).await?;
        if is_http1 && self.connections.leaving().is_cancelled() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response.map(Either::Left))
    }
}

impl<M> Shared<M> {
    fn failed(&self, what: &'static str, error: Option<&BodyError>, peer: SocketAddr) {
        (self.observe)(&Event::Failed { what, error, peer });
    }
}

/// Serves a connection until `close`, and then until it has ended in order, or at `now`.
pub(super) async fn until_end<C>(
    connection: C,
    graceful_shutdown: impl FnOnce(Pin<&mut C>),
    close: impl Future<Output = ()>,
    now: impl Future<Output = ()>,
) -> Result<(), String>
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = close => {
            graceful_shutdown(connection.as_mut());
            tokio::select! {
                ended = connection => ended,
                () = now => return Ok(()),
            }
        }
    };
    ended.map_err(|error| error.to_string())
}

async fn within<T>(limit: Option<Duration>, future: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => timeout(limit, future).await.ok(),
        None => Some(future.await),
    }
}

fn ambiguous() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(AMBIGUOUS));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert("x-skep-error", HeaderValue::from_static("ambiguous_request"));
    response
}
