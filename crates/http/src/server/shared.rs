//! Accepts connections, and serves each on a runtime.

use std::{convert::Infallible, pin::pin, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use ipnet::IpNet;
use tokio::net::TcpListener;
use tower::Service;

use crate::{Body, BodyError, FastPath, Readiness, Runtimes};

use super::{
    accept::{Accepted, Acceptor},
    config::{HttpLimits, USUAL_HEADERS},
    connections::Connections,
    event::{Event, Observer},
    peer::Peer,
    places::Places,
    protocols::{Http1, Protocols},
};

/// A server of HTTP/1.1 without encryption. Its [`Connections`] end it.
pub struct Server<M>(Arc<Shared<M, Http1>>);

impl<M, S, B> Server<M>
where
    M: Fn(Peer) -> S + Send + Sync + 'static,
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + Unpin + 'static,
{
    /// `make` makes the service of each connection, and `observe` hears what happens.
    pub fn new(
        limits: HttpLimits,
        connections: Connections,
        make: M,
        observe: impl Fn(&Event<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self(Shared::new(limits, Http1, connections, make, Arc::new(observe)))
    }

    /// Accepts connections until `end`, and those that wait for it then, and serves them on `runtimes`.
    pub async fn accept(&self, listener: TcpListener, runtimes: &Runtimes, end: impl Future<Output = ()>) {
        let mut acceptor = self.0.acceptor(listener, Vec::new(), None);
        let mut end = pin!(end);
        while let Some(accepted) = acceptor.next(end.as_mut()).await {
            self.0.begin(runtimes, accepted);
        }
        for accepted in acceptor.last_ones() {
            self.0.begin(runtimes, accepted);
        }
    }
}

/// What all connections of a server share.
pub(super) struct Shared<M, P> {
    pub(super) fast_path: FastPath,
    pub(super) http1: http1::Builder,
    pub(super) protocols: P,
    pub(super) limits: HttpLimits,
    pub(super) connections: Connections,
    /// Makes the service of a connection.
    pub(super) make: M,
    pub(super) observe: Observer,
}

impl<M, P, S, B> Shared<M, P>
where
    M: Fn(Peer) -> S + Send + Sync + 'static,
    P: Protocols,
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + Unpin + 'static,
{
    pub(super) fn new(
        limits: HttpLimits,
        protocols: P,
        connections: Connections,
        make: M,
        observe: Observer,
    ) -> Arc<Self> {
        let fast_path = FastPath {
            max_headers: limits.max_headers,
            max_head_bytes: limits.max_header_bytes,
            idle: limits.header_read_timeout,
        };
        Arc::new(Self { fast_path, http1: http1_of(&limits), protocols, limits, connections, make, observe })
    }

    pub(super) fn acceptor(
        &self,
        listener: TcpListener,
        proxies: Vec<IpNet>,
        readiness: Option<&Readiness>,
    ) -> Acceptor {
        let Self { limits, observe, .. } = self;
        Acceptor {
            listener,
            places: Places::new(limits, proxies, readiness, Arc::clone(observe)),
            write_timeout: limits.write_timeout,
            is_encrypted: self.protocols.is_encrypted(),
            observe: Arc::clone(observe),
        }
    }

    pub(super) fn begin(self: &Arc<Self>, runtimes: &Runtimes, (stream, peer, place): Accepted) {
        let shared = Arc::clone(self);
        let begun = runtimes.serve(stream, self.connections.tasks(), move |stream| async move {
            let _place = place;
            shared.connections.until_cut(P::serve(&shared, stream, peer)).await;
        });
        if let Err(error) = begun {
            (self.observe)(&Event::NotServed { error: &error, peer });
        }
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
