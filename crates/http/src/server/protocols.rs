//! Which protocols a server speaks.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};
#[cfg(feature = "serve")]
use std::{io, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use tokio::net::TcpStream;
#[cfg(feature = "serve")]
use tokio::time::timeout;
use tower::Service;

use crate::{Body, BodyError};
#[cfg(feature = "serve")]
use crate::{Tls, tls::TlsStream};

#[cfg(feature = "serve")]
use super::http2::begins_with_preface;
use super::{peer::Peer, shared::Shared};

/// What a server speaks.
///
/// It is a type, so that a program links no more than it uses, whatever features another program of the same build asks for.
pub(super) trait Protocols: Send + Sync + Sized + 'static {
    fn is_encrypted(&self) -> bool;

    /// Serves a connection from its first byte to its last.
    fn serve<M, S, B>(
        shared: &Arc<Shared<M, Self>>,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> impl Future<Output = ()> + Send
    where
        M: Fn(Peer) -> S + Send + Sync + 'static,
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
        B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + Unpin + 'static;
}

/// HTTP/1.1 without encryption.
pub(super) struct Http1;

impl Protocols for Http1 {
    fn is_encrypted(&self) -> bool {
        false
    }

    async fn serve<M, S, B>(shared: &Arc<Shared<M, Self>>, stream: TcpStream, peer: SocketAddr)
    where
        M: Fn(Peer) -> S + Send + Sync + 'static,
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
        B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + Unpin + 'static,
    {
        let service = (shared.make)(Peer::new(peer, false));
        shared.log_end(shared.serve_simple_first(stream, service).await, peer);
    }
}

/// HTTP/1.1 and HTTP/2, with TLS or without.
#[cfg(feature = "serve")]
pub(super) struct AnyVersion {
    pub(super) tls: Option<Tls>,
}

/// What a connection turned out to speak.
#[cfg(feature = "serve")]
enum Begun {
    Http1(TcpStream),
    Http2(TcpStream),
    Encrypted { stream: Box<TlsStream>, is_http2: bool },
}

#[cfg(feature = "serve")]
impl AnyVersion {
    /// Finds out what a connection speaks.
    async fn begin(&self, stream: TcpStream) -> io::Result<Begun> {
        if let Some(tls) = &self.tls {
            let (stream, is_http2) = tls.accept(stream).await?;
            return Ok(Begun::Encrypted { stream: Box::new(stream), is_http2 });
        }
        if begins_with_preface(&stream).await? {
            return Ok(Begun::Http2(stream));
        }
        Ok(Begun::Http1(stream))
    }
}

#[cfg(feature = "serve")]
impl Protocols for AnyVersion {
    fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    async fn serve<M, S, B>(shared: &Arc<Shared<M, Self>>, stream: TcpStream, peer: SocketAddr)
    where
        M: Fn(Peer) -> S + Send + Sync + 'static,
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
        B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + Unpin + 'static,
    {
        let limit = shared.limits.header_read_timeout.unwrap_or(Duration::MAX);
        let begun = tokio::select! {
            // A request that has come already is answered.
            biased;
            begun = timeout(limit, shared.protocols.begin(stream)) => begun,
            () = shared.connections.closing() => return,
        };
        let begun = match begun {
            Ok(Ok(begun)) => begun,
            Ok(Err(error)) => return shared.failed("a connection did not begin", Some(&error.into()), peer),
            Err(_) => return shared.failed("a connection was closed because nothing came", None, peer),
        };
        let service = (shared.make)(Peer::new(peer, shared.protocols.is_encrypted()));
        let ended = match begun {
            Begun::Http1(stream) => shared.serve_simple_first(stream, service).await,
            Begun::Http2(stream) => Box::pin(shared.serve_http2(stream, service)).await,
            Begun::Encrypted { stream, is_http2: true } => Box::pin(shared.serve_http2(*stream, service)).await,
            Begun::Encrypted { stream, is_http2: false } => Box::pin(shared.serve_http1(*stream, service)).await,
        };
        shared.log_end(ended, peer);
    }
}
