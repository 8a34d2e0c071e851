//! Serves until shutdown, and then drains.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::{Body, BodyError, Runtimes};

use super::{
    config::ServeConfig,
    connections::Connections,
    event::{Event, log},
    peer::Peer,
    protocols::AnyVersion,
    shared::Shared,
};

/// A client that connected just before the listener closed has this long to send its request.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves HTTP/1.1 and HTTP/2 on `runtimes` until `shutdown`, and then drains. `make` makes the service of each connection.
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
    let ServeConfig { limits, proxies, tls, drain, readiness } = config;
    let connections = Connections::leaving_at(shutdown.clone());
    if let Some(tls) = tls.clone() {
        connections.tasks().spawn(tls.follow(shutdown.clone()));
    }
    let shared = Shared::new(limits, AnyVersion { tls }, connections.clone(), make, Arc::new(log));
    let mut acceptor = shared.acceptor(listener, proxies, readiness.as_ref());
    let mut end = pin!(async {
        shutdown.cancelled().await;
        sleep(drain.linger).await;
    });
    while let Some(accepted) = acceptor.next(end.as_mut()).await {
        shared.begin(runtimes, accepted);
    }
    for accepted in acceptor.last_ones() {
        shared.begin(runtimes, accepted);
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
