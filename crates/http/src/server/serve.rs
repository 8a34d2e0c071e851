//! Accepts connections, serves each on a runtime, and drains.

#[cfg(feature = "tracing")]
use std::time::Duration;
use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;
#[cfg(feature = "tracing")]
use tokio::time::{sleep, timeout};
#[cfg(feature = "tracing")]
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::{Body, BodyError, FastPath, Readiness, Runtimes, Tls};

use super::{
    accept::{Accepted, Acceptor},
    config::{HttpLimits, USUAL_HEADERS},
    connections::Connections,
    event::{Event, Observer},
    peer::Peer,
    places::Places,
};
#[cfg(feature = "tracing")]
use super::{config::ServeConfig, event::log};

/// A client that connected just before the listener closed has this long to send its request.
#[cfg(feature = "tracing")]
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves on `runtimes` until `shutdown`, and then drains. `make` makes the service of each connection.
#[cfg(feature = "tracing")]
pub async fn serve<M, S, B>(
    listener: TcpListener,
    make: M,
    config: ServeConfig,
    runtimes: &Runtimes,
    shutdown: CancellationToken,
) where
    M: Fn(Peer) -> S + Send + Sync + 'static,
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + Unpin + 'static,
{
    let ServeConfig { limits, tls, drain, readiness } = config;
    let connections = Connections::leaving_at(shutdown.clone());
    if let Some(tls) = tls.clone() {
        connections.tasks().spawn(tls.follow(shutdown.clone()));
    }
    let server = Server::new(limits, tls, connections.clone(), make, log);
    let mut acceptor = server.acceptor(listener, readiness.as_ref());
    let mut end = pin!(async {
        shutdown.cancelled().await;
        sleep(drain.linger).await;
    });
    while let Some(accepted) = acceptor.next(end.as_mut()).await {
        server.begin(runtimes, accepted);
    }
    for accepted in acceptor.last_ones() {
        server.begin(runtimes, accepted);
    }
    // When they all end before, there is nothing to wait for.
    let _ = timeout(FIRST_REQUEST_TIMEOUT.min(drain.linger), connections.ended()).await;
    connections.close();
    if timeout(drain.grace, connections.ended()).await.is_err() {
        log(&Event::Cut { connections: connections.len() });
        connections.cut();
        connections.ended().await;
    }
    log(&Event::Drained);
}

/// Serves connections; how they end is the business of their [`Connections`].
pub struct Server<M>(Arc<Shared<M>>);

/// What all connections of a server share.
pub(super) struct Shared<M> {
    pub(super) fast_path: FastPath,
    pub(super) http1: http1::Builder,
    pub(super) tls: Option<Tls>,
    pub(super) limits: HttpLimits,
    pub(super) connections: Connections,
    /// Makes the service of a connection.
    pub(super) make: M,
    pub(super) observe: Observer,
}

impl<M, S, B> Server<M>
where
    M: Fn(Peer) -> S + Send + Sync + 'static,
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + Unpin + 'static,
{
    /// `make` makes the service of each connection, and `observe` hears what happens.
    pub fn new(
        limits: HttpLimits,
        tls: Option<Tls>,
        connections: Connections,
        make: M,
        observe: impl Fn(&Event<'_>) + Send + Sync + 'static,
    ) -> Self {
        let fast_path = FastPath {
            max_headers: limits.max_headers,
            max_head_bytes: limits.max_header_bytes,
            idle: limits.header_read_timeout,
        };
        let http1 = http1_of(&limits);
        Self(Arc::new(Shared { fast_path, http1, tls, limits, connections, make, observe: Arc::new(observe) }))
    }

    /// Accepts connections until `end`, and serves them on `runtimes`.
    pub async fn accept(&self, listener: TcpListener, runtimes: &Runtimes, end: impl Future<Output = ()>) {
        let mut acceptor = self.acceptor(listener, None);
        let mut end = pin!(end);
        while let Some(accepted) = acceptor.next(end.as_mut()).await {
            self.begin(runtimes, accepted);
        }
    }

    fn acceptor(&self, listener: TcpListener, readiness: Option<&Readiness>) -> Acceptor {
        let Shared { limits, tls, observe, .. } = &*self.0;
        let (number, share) = (limits.max_connections, limits.max_connections_per_address);
        Acceptor {
            listener,
            places: Places::new(number, share, readiness, Arc::clone(observe)),
            write_timeout: limits.write_timeout,
            is_encrypted: tls.is_some(),
            observe: Arc::clone(observe),
        }
    }

    fn begin(&self, runtimes: &Runtimes, (stream, peer, place): Accepted) {
        let shared = Arc::clone(&self.0);
        let begun = runtimes.serve(stream, self.0.connections.tasks(), move |stream| async move {
            let _place = place;
            shared.connections.until_cut(shared.connection(stream, peer)).await;
        });
        if let Err(error) = begun {
            self.0.not_served(&error, peer);
        }
    }
}

impl<M> Shared<M> {
    fn not_served(&self, error: &io::Error, peer: SocketAddr) {
        (self.observe)(&Event::NotServed { error, peer });
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
