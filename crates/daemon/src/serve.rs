//! An HTTP/1.1 server with limits, whose connections are all accounted for, and which drains.

use std::{convert::Infallible, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use axum::extract::ConnectInfo;
use http::{HeaderValue, Request, Response, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use crate::Service;

/// A client that connected just before the door closed has this long to send its request.
const FIRST_REQUEST_WITHIN: Duration = Duration::from_secs(1);
/// After an error that will not pass by itself (no file descriptor is free), the next accept waits.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// hyper's own default, which it serves without an allocation.
const USUAL_HEADERS: usize = 100;

/// What one client may cost before anything is known of it.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// A request's head must be there within this; an idle connection is closed after it as well.
    pub header_read_timeout: Duration,
    /// Beyond it: 431.
    pub max_headers: usize,
    /// Of the whole head; beyond it: 431.
    pub max_header_bytes: usize,
    /// Connections at once; beyond it they wait to be accepted.
    pub max_connections: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            header_read_timeout: Duration::from_secs(10),
            max_headers: USUAL_HEADERS,
            max_header_bytes: 64 * 1024,
            max_connections: 8192,
        }
    }
}

/// How a server ends.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// So long it still takes calls, and each answer closes its connection, so that its clients leave it.
    pub linger: Duration,
    /// Then what is in flight has this long to end, and the rest is cut.
    pub grace: Duration,
}

/// Serves until `shutdown`, and then drains.
///
/// A request carries its peer's address as [`ConnectInfo<SocketAddr>`].
pub async fn serve<S: Service>(
    listener: TcpListener,
    service: S,
    limits: HttpLimits,
    shutdown: CancellationToken,
    drain: Drain,
) {
    let connections = TaskTracker::new();
    let server = Server {
        builder: builder(&limits),
        service,
        leaving: shutdown.clone(),
        closing: CancellationToken::new(),
        cut: CancellationToken::new(),
    };
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let mut end = std::pin::pin!(async {
        shutdown.cancelled().await;
        sleep(drain.linger).await;
    });
    while let Some((stream, peer, place)) = accept(&listener, &places, end.as_mut()).await {
        connections.spawn(server.clone().connection(stream, peer, place));
    }
    for (stream, peer, place) in last_ones(listener, &places) {
        connections.spawn(server.clone().connection(stream, peer, place));
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
    builder: http1::Builder,
    service: S,
    /// From now on each answer closes its connection.
    leaving: CancellationToken,
    /// From now on idle connections are closed.
    closing: CancellationToken,
    cut: CancellationToken,
}

/// A connection, its peer, and the place that it takes.
type Accepted = (TcpStream, SocketAddr, OwnedSemaphorePermit);

impl<S: Service> Server<S> {
    async fn connection(self, stream: TcpStream, peer: SocketAddr, _place: OwnedSemaphorePermit) {
        let service = service_fn(|request| self.answer(peer, request));
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = self.cut.cancelled() => return,
                }
            }
        };
        if let Err(error) = ended {
            debug!(%error, %peer, "connection ended with an error");
        }
    }

    async fn answer(&self, peer: SocketAddr, mut request: Request<Incoming>) -> Result<Response<S::Body>, Infallible> {
        request.extensions_mut().insert(ConnectInfo(peer));
        let mut response = self.service.answer(request).await;
        if self.leaving.is_cancelled() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

/// The next connection; `None` at the end.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    end: Pin<&mut impl Future<Output = ()>>,
) -> Option<Accepted> {
    let next = async {
        let place = Arc::clone(places).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => return Some((without_delay(stream, peer), peer, place)),
                Err(error) if is_of_the_peer(&error) => debug!(%error, "a connection was gone before it was accepted"),
                Err(error) => {
                    warn!(%error, "no connection can be accepted at the moment");
                    sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = end => None,
        accepted = next => accepted,
    }
}

/// The connections that wait to be accepted; closing the listener would break them off.
fn last_ones(listener: TcpListener, places: &Arc<Semaphore>) -> Vec<Accepted> {
    let mut found = Vec::new();
    let Ok(listener) = listener.into_std() else { return found };
    while let Ok(place) = Arc::clone(places).try_acquire_owned()
        && let Ok((stream, peer)) = listener.accept()
    {
        match stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
            Ok(stream) => found.push((without_delay(stream, peer), peer, place)),
            Err(error) => debug!(%error, %peer, "a connection was lost at the end"),
        }
    }
    found
}

fn without_delay(stream: TcpStream, peer: SocketAddr) -> TcpStream {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, %peer, "TCP_NODELAY was not set");
    }
    stream
}

fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}

fn builder(limits: &HttpLimits) -> http1::Builder {
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

#[cfg(test)]
mod tests;
