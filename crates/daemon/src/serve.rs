//! An HTTP/1.1 server with limits, whose connections are all accounted for, and which drains.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo, response::Response};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;
use tracing::{debug, info, warn};

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

/// Serves until `shutdown`; then nothing is accepted, what is in flight has `grace` to end, and the rest is cut.
///
/// A request carries its peer's address as [`ConnectInfo<SocketAddr>`].
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: HttpLimits,
    shutdown: CancellationToken,
    grace: Duration,
) {
    let connections = TaskTracker::new();
    let server = Server {
        builder: builder(&limits),
        // With its state inside, the routes are not built again for each connection.
        router: router.with_state(()),
        draining: shutdown.clone(),
        cut: CancellationToken::new(),
    };
    let places = Arc::new(Semaphore::new(limits.max_connections));
    while let Some((stream, peer, place)) = accept(&listener, &places, &shutdown).await {
        connections.spawn(server.clone().connection(stream, peer, place));
    }
    drop(listener);
    connections.close();
    if timeout(grace, connections.wait()).await.is_err() {
        warn!(connections = connections.len(), "connections are cut after the grace period");
        server.cut.cancel();
        connections.wait().await;
    }
    info!("HTTP server has drained");
}

#[derive(Clone)]
struct Server {
    builder: http1::Builder,
    router: Router,
    draining: CancellationToken,
    cut: CancellationToken,
}

impl Server {
    async fn connection(self, stream: TcpStream, peer: SocketAddr, _place: OwnedSemaphorePermit) {
        let router = self.router;
        let service = service_fn(move |request| answer(router.clone(), peer, request));
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.draining.cancelled() => {
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
}

async fn answer(mut router: Router, peer: SocketAddr, mut request: Request<Incoming>) -> Result<Response, Infallible> {
    request.extensions_mut().insert(ConnectInfo(peer));
    router.call(request).await
}

/// The next connection and its place; `None` once shutdown begins.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let next = async {
        let place = Arc::clone(places).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        debug!(%error, %peer, "TCP_NODELAY was not set");
                    }
                    return Some((stream, peer, place));
                }
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
        () = shutdown.cancelled() => None,
        accepted = next => accepted,
    }
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
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::Notify,
        task::JoinHandle,
    };

    use super::*;

    struct Fixture {
        address: SocketAddr,
        shutdown: CancellationToken,
        served: JoinHandle<()>,
    }

    async fn start(router: Router, limits: HttpLimits, grace: Duration) -> Fixture {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(serve(listener, router, limits, shutdown.clone(), grace));
        Fixture { address, shutdown, served }
    }

    async fn send(fixture: &Fixture, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(fixture.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn answer_to(fixture: &Fixture, request: &str) -> String {
        all_of(send(fixture, request).await).await
    }

    async fn all_of(mut stream: TcpStream) -> String {
        let mut text = String::new();
        // A connection that is cut may end with an error after its last byte.
        let _ = timeout(Duration::from_secs(5), stream.read_to_string(&mut text)).await.unwrap();
        text
    }

    /// A handler that says when it runs and then waits to be let go.
    fn held() -> (Router, Arc<Notify>, Arc<Notify>) {
        let (running, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (tell, wait) = (Arc::clone(&running), Arc::clone(&go));
        let handler = async move || {
            tell.notify_one();
            wait.notified().await;
            "done"
        };
        (Router::new().route("/", get(handler)), running, go)
    }

    #[tokio::test]
    async fn the_peer_is_known_and_bad_heads_are_refused() {
        let peer = async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string();
        let limits = HttpLimits {
            header_read_timeout: Duration::from_millis(50),
            max_headers: 3,
            max_header_bytes: 1024,
            ..HttpLimits::default()
        };
        let fixture = start(Router::new().route("/", get(peer)), limits, Duration::ZERO).await;
        let good = answer_to(&fixture, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert!(good.starts_with("HTTP/1.1 200") && good.ends_with("127.0.0.1"), "{good}");
        let many = answer_to(&fixture, "GET / HTTP/1.1\r\nHost: a\r\nB: 1\r\nC: 1\r\nD: 1\r\n\r\n").await;
        assert!(many.starts_with("HTTP/1.1 431"), "{many}");
        let long = answer_to(&fixture, &format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(2000))).await;
        assert!(long.starts_with("HTTP/1.1 431"), "{long}");
        let slow = answer_to(&fixture, "GET / HTTP/1.1\r\nHo").await;
        assert!(!slow.contains("200"), "{slow}");
    }

    #[tokio::test]
    async fn shutdown_lets_what_is_in_flight_end() {
        let (router, running, go) = held();
        let fixture = start(router, HttpLimits::default(), Duration::from_secs(5)).await;
        let idle = send(&fixture, "").await;
        let busy = send(&fixture, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        running.notified().await;
        fixture.shutdown.cancel();
        assert_eq!(all_of(idle).await, "");
        assert!(TcpStream::connect(fixture.address).await.is_err(), "nothing is accepted any more");
        go.notify_one();
        assert!(all_of(busy).await.ends_with("done"));
        fixture.served.await.unwrap();
    }

    #[tokio::test]
    async fn what_does_not_end_within_the_grace_period_is_cut() {
        let (router, running, _go) = held();
        let fixture = start(router, HttpLimits::default(), Duration::from_millis(50)).await;
        let busy = send(&fixture, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        running.notified().await;
        fixture.shutdown.cancel();
        assert_eq!(all_of(busy).await, "");
        fixture.served.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_leaves_cancels_its_request() {
        struct Tell(Arc<Notify>);
        impl Drop for Tell {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        let (running, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (tell_running, tell) = (Arc::clone(&running), Arc::clone(&dropped));
        let handler = async move || {
            let _tell = Tell(tell);
            tell_running.notify_one();
            std::future::pending::<()>().await;
        };
        let fixture = start(Router::new().route("/", get(handler)), HttpLimits::default(), Duration::ZERO).await;
        let client = send(&fixture, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        running.notified().await;
        drop(client);
        timeout(Duration::from_secs(5), dropped.notified()).await.unwrap();
    }
}
