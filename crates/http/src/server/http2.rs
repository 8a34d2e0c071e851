//! A connection of HTTP/2 (RFC 9113).

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::sleep,
};
use tower::Service;

use crate::{Body, BodyError};

use super::{
    config::HttpLimits,
    connection::until_end,
    peer::Peer,
    protocols::Protocols,
    shared::Shared,
    streams::{Pieces, Streams, answered},
};

/// What HTTP/2 begins with, and no request of HTTP/1 (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI ";
/// How often a connection is checked on which a part of the preface has arrived.
const PREFACE_CHECK_INTERVAL: Duration = Duration::from_millis(5);
/// How often the client of a silent connection is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(20);

impl<M, P, S, B> Shared<M, P>
where
    M: Fn(Peer) -> S + Send + Sync + 'static,
    P: Protocols,
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + Unpin + 'static,
{
    pub(super) async fn serve_http2(
        self: &Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        service: S,
    ) -> Result<(), String> {
        let HttpLimits { header_read_timeout, write_timeout, .. } = self.limits;
        let first_request_timeout = header_read_timeout.unwrap_or(Duration::MAX);
        let streams = Streams::new(write_timeout);
        let shared = Arc::clone(self);
        let service = service_fn(move |request: Request<Incoming>| {
            let (shared, service) = (Arc::clone(&shared), service.clone());
            answered(async move { Ok::<_, Infallible>(shared.answer(service, request).await?.map(Pieces::new)) })
        });
        let connection = builder(&self.limits, streams.clone()).serve_connection(TokioIo::new(stream), service);
        // HTTP/2 has a way of its own to say that no further requests are taken, which loses none.
        let close = async {
            // What is left of an answer may still be on its way when its stream has ended.
            let idle = streams.idle(first_request_timeout, write_timeout);
            self.connections.leaving().run_until_cancelled(idle).await;
        };
        let now = streams.idle(first_request_timeout, first_request_timeout);
        until_end(connection, |connection| connection.graceful_shutdown(), close, now).await
    }
}

/// Looks at the first bytes and leaves them where they are.
pub(super) async fn begins_with_preface(stream: &TcpStream) -> io::Result<bool> {
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
        sleep(PREFACE_CHECK_INTERVAL).await;
    }
}

fn builder(limits: &HttpLimits, streams: Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL);
    builder
}
