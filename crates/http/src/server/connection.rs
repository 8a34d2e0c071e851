//! One connection from its first byte to its last.

use std::{
    convert::Infallible,
    future::{pending, poll_fn},
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use http_body_util::{Either, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tower::Service;

use crate::{Body, BodyError};

use super::{
    event::Event,
    fast_path::{AMBIGUOUS, has_ambiguous_coding},
    peer::Peer,
    protocols::Protocols,
    shared::Shared,
    strict_heads::StrictHeads,
};

impl<M, P, S, B> Shared<M, P>
where
    M: Fn(Peer) -> S + Send + Sync + 'static,
    P: Protocols,
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + Unpin + 'static,
{
    /// Serves simple requests on the fast path, and the rest of the connection through hyper once another one comes.
    pub(super) async fn serve_simple_first(&self, stream: TcpStream, mut service: S) -> Result<(), String> {
        let (leaving, closing) = (self.connections.leaving(), self.connections.closing());
        match self.fast_path.serve(stream.into_split(), leaving, closing, &mut service).await {
            Some(rest) => Box::pin(self.serve_http1(rest, service)).await,
            None => Ok(()),
        }
    }

    /// Serves requests of all kinds.
    pub(super) async fn serve_http1(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        service: S,
    ) -> Result<(), String> {
        let is_upgraded: Arc<AtomicBool> = Arc::default();
        let stream = StrictHeads::new(stream, self.limits.max_header_bytes, Arc::clone(&is_upgraded));
        let service = service_fn(|request| {
            let (answering, is_upgraded) = (self.answer(service.clone(), request), &is_upgraded);
            async move {
                let response = answering.await?;
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    is_upgraded.store(true, Ordering::Relaxed);
                }
                Ok::<_, Infallible>(response)
            }
        });
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
        let is_read = Arc::new(AtomicBool::new(request.body().is_end_stream()));
        let mut response = service.call(request.map(|body| Body::received(body, Arc::clone(&is_read)))).await?;
        // hyper closes the connection unless it can drop the rest of the body at once; the client must not send another request on it.
        if is_http1 && (!is_read.load(Ordering::Relaxed) || self.connections.leaving().is_cancelled()) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response.map(Either::Left))
    }
}

impl<M, P> Shared<M, P> {
    /// Reports how a connection ended.
    pub(super) fn log_end(&self, ended: Result<(), String>, peer: SocketAddr) {
        if let Err(error) = ended {
            self.failed("a connection ended with an error", Some(&error.into()), peer);
        }
    }

    pub(super) fn failed(&self, what: &'static str, error: Option<&BodyError>, peer: SocketAddr) {
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

fn ambiguous() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(AMBIGUOUS));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert("x-skep-error", HeaderValue::from_static("ambiguous_request"));
    response
}
