//! A server of HTTP/1.1 and HTTP/2 with limits, whose connections are all accounted for, and which drains.

use std::{convert::Infallible, fmt::Display, io, net::SocketAddr, pin::Pin, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body_util::{Either, Full};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use crate::{FastPath, Runtimes, Tls};

use super::{
    accept::{Accepted, Terms, accept, last_ones},
    config::{HttpLimits, ServeConfig, USUAL_HEADERS},
    fast_path::{AMBIGUOUS, has_ambiguous_coding},
    peer::{Peer, RequestBody, Service},
    places::{Place, Places},
    streams::{Pieces, Streams, answered},
};

/// A client that connected just before the door closed has this long to send its request.
const FIRST_REQUEST_WITHIN: Duration = Duration::from_secs(1);
/// What HTTP/2 begins with, and no request of HTTP/1 (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI ";
/// A client that has sent a part of the preface is looked at again after this.
const PREFACE_AGAIN: Duration = Duration::from_millis(5);
/// Requests at once on one connection of HTTP/2.
const MAX_STREAMS: u32 = 256;
/// On a connection of HTTP/2 that says nothing its client is asked so often whether it is there.
const PING: Duration = Duration::from_secs(20);

/// Serves on `runtimes` until `shutdown`, and then drains.
pub async fn serve<S: Service>(
    listener: TcpListener,
    service: S,
    config: ServeConfig,
    runtimes: &Runtimes,
    shutdown: CancellationToken,
) {
    let ServeConfig { limits, tls, drain, readiness } = config;
    let connections = TaskTracker::new();
    let server = Server {
        fast_path: fast_path_of(&limits),
        http1: http1_of(&limits),
        tls: tls.as_ref().map(Tls::acceptor),
        limits,
        service,
        leaving: shutdown.clone(),
        closing: CancellationToken::new(),
        cut: CancellationToken::new(),
    };
    if let Some(tls) = tls {
        connections.spawn(tls.follow(shutdown.clone()));
    }
    let terms = Terms { write_timeout: limits.write_timeout, is_encrypted: server.tls.is_some() };
    let mut places = Places::new(limits.max_connections, limits.max_connections_per_address, readiness.as_ref());
    let mut end = std::pin::pin!(async {
        shutdown.cancelled().await;
        sleep(drain.linger).await;
    });
    while let Some(accepted) = accept(&listener, terms, &mut places, end.as_mut()).await {
        server.clone().serve_on(runtimes, &connections, accepted);
    }
    for accepted in last_ones(listener, terms, &mut places) {
        server.clone().serve_on(runtimes, &connections, accepted);
    }
    connections.close();
    // When they all end before, there is nothing to wait for.
    let _ = timeout(FIRST_REQUEST_WITHIN.min(drain.linger), connections.wait()).await;
    server.closing.cancel();
    if timeout(drain.grace, connections.wait()).await.is_err() {
        warn!(connections = connections.len(), "connections are cut after the grace period");
        server.cut.cancel();
        connections.wait().await;
    }
    info!("HTTP server has drained");
}

#[derive(Clone)]
struct Server<S> {
    fast_path: FastPath,
    http1: http1::Builder,
    tls: Option<TlsAcceptor>,
    limits: HttpLimits,
    service: S,
    /// From now on each answer closes its connection.
    leaving: CancellationToken,
    /// From now on idle connections are closed.
    closing: CancellationToken,
    cut: CancellationToken,
}

impl<S: Service> Server<S> {
    fn serve_on(self, runtimes: &Runtimes, connections: &TaskTracker, (stream, peer, place): Accepted) {
        let served = runtimes.serve(stream, connections, move |stream| self.connection(stream, peer, place));
        if let Err(error) = served {
            warn!(%error, %peer, "a connection cannot be served");
        }
    }

    async fn connection(self, stream: TcpStream, peer: SocketAddr, _place: Place) {
        let begun = tokio::select! {
            begun = timeout(self.limits.header_read_timeout, self.begin(stream, peer)) => begun,
            () = self.closing.cancelled() => return,
        };
        match begun {
            Ok(Ok(serving)) => serving.await,
            Ok(Err(error)) => debug!(%error, %peer, "a connection did not begin"),
            Err(_) => debug!(%peer, "a connection was closed because nothing came"),
        }
    }

    /// Finds out what a connection speaks.
    async fn begin(&self, stream: TcpStream, peer: SocketAddr) -> io::Result<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let (server, from) = (self.clone(), Peer::new(peer, self.tls.is_some()));
        let Some(tls) = &self.tls else {
            if begins_with_preface(&stream).await? {
                return Ok(Box::pin(async move { server.serve_with_hyper(stream, true, &from).await }));
            }
            return Ok(Box::pin(async move {
                if let Some(rest) = server.serve_fast_path(stream, &from).await {
                    server.serve_with_hyper(rest, false, &from).await;
                }
            }));
        };
        let stream = tls.accept(stream).await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Box::pin(async move { server.serve_with_hyper(stream, is_http2, &from).await }))
    }

    /// Answers simple requests, and returns the connection when another one comes on it.
    async fn serve_fast_path(
        &self,
        stream: TcpStream,
        from: &Peer,
    ) -> Option<impl AsyncRead + AsyncWrite + Send + Unpin + use<S>> {
        let answer = |request: Request<Bytes>| self.answer(from, request.map(|body| Either::Right(Full::new(body))));
        let serving = self.fast_path.serve(stream.into_split(), self.closing.cancelled(), answer);
        self.cut.run_until_cancelled(serving).await.flatten()
    }

    async fn serve_with_hyper(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        is_http2: bool,
        from: &Peer,
    ) {
        let stream = TokioIo::new(stream);
        let ended = if is_http2 {
            self.serve_http2(stream, from).await
        } else {
            let service = service_fn(|request| self.answer_incoming(from, request));
            let connection = self.http1.serve_connection(stream, service);
            self.until_end(connection, self.closing.cancelled(), std::future::pending()).await
        };
        if let Err(error) = ended {
            debug!(error, peer = ?from.ip, "connection ended with an error");
        }
    }

    async fn serve_http2(
        &self,
        stream: TokioIo<impl AsyncRead + AsyncWrite + Send + Unpin + 'static>,
        from: &Peer,
    ) -> Result<(), String> {
        let streams = Streams::new(self.limits.write_timeout);
        let (server, from) = (self.clone(), from.clone());
        let service = service_fn(move |request| {
            let (server, from) = (server.clone(), from.clone());
            answered(async move { Ok::<_, Infallible>(server.answer_incoming(&from, request).await?.map(Pieces::new)) })
        });
        let connection = http2_of(&self.limits, streams.clone()).serve_connection(stream, service);
        let HttpLimits { header_read_timeout, write_timeout, .. } = self.limits;
        // It has a way of its own to say that no further requests are taken, which loses none.
        let close = async {
            // What is left of an answer may still be on its way when its stream has ended.
            let idle = streams.idle(header_read_timeout, write_timeout);
            self.leaving.run_until_cancelled(idle).await;
        };
        self.until_end(connection, close, streams.idle(header_read_timeout, header_read_timeout)).await
    }

    /// Serves a connection until `close`, and then until it has ended in order, or at `now`.
    async fn until_end<C>(
        &self,
        connection: C,
        close: impl Future<Output = ()>,
        now: impl Future<Output = ()>,
    ) -> Result<(), String>
    where
        C: GracefulConnection<Error: Display>,
    {
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = close => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = now => return Ok(()),
                    () = self.cut.cancelled() => return Ok(()),
                }
            }
        };
        ended.map_err(|error| error.to_string())
    }

    async fn answer_incoming(
        &self,
        from: &Peer,
        request: Request<Incoming>,
    ) -> Result<Response<Either<S::Body, Full<Bytes>>>, Infallible> {
        if request.version() <= Version::HTTP_11 && has_ambiguous_coding(request.headers()) {
            return Ok(ambiguous().map(Either::Right));
        }
        Ok(self.answer(from, request.map(Either::Left)).await.map(Either::Left))
    }

    async fn answer(&self, from: &Peer, request: Request<RequestBody>) -> Response<S::Body> {
        let is_http1 = request.version() <= Version::HTTP_11;
        let mut response = self.service.answer(from, request).await;
        if is_http1 && self.leaving.is_cancelled() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
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

/// Looks at the first bytes and leaves them where they are.
async fn begins_with_preface(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; PREFACE.len()];
    loop {
        let length = stream.peek(&mut first).await?;
        let seen = first.get(..length).unwrap_or_default();
        if seen.is_empty() || !PREFACE.starts_with(seen) {
            return Ok(false);
        }
        if length == PREFACE.len() {
            return Ok(true);
        }
        sleep(PREFACE_AGAIN).await;
    }
}

fn fast_path_of(limits: &HttpLimits) -> FastPath {
    FastPath {
        max_headers: limits.max_headers,
        max_head_bytes: limits.max_header_bytes,
        idle: Some(limits.header_read_timeout),
    }
}

fn http1_of(limits: &HttpLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout)
        .max_header_size(limits.max_header_bytes);
    if limits.max_headers != USUAL_HEADERS {
        builder.max_headers(limits.max_headers);
    }
    builder
}

fn http2_of(limits: &HttpLimits, streams: Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}
