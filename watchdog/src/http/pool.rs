//! Keep-alive connections to the program.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::{
    Request, Response, StatusCode, header,
    uri::{Authority, PathAndQuery},
};
use skep_http::{Body, Connection, Incoming, NotAnswered, Outgoing};
use thiserror::Error;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::plan::Upstream;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Shorter than the idle timeout of any common server, so that a connection is not used just when it is closed.
const MAX_IDLE: Duration = Duration::from_secs(1);
const TEND_INTERVAL: Duration = Duration::from_secs(10);

/// The connections to one start of the program.
#[derive(Debug)]
pub(crate) struct Pool {
    upstream: Upstream,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

#[derive(Debug, Error)]
pub(super) enum SendError {
    /// Nothing was sent.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    #[error(transparent)]
    Lost(#[from] skep_http::Error),
}

impl Pool {
    pub(super) fn new(upstream: Upstream) -> Arc<Self> {
        Arc::new(Self { upstream, idle: Mutex::default() })
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.upstream.authority
    }

    pub(super) fn prefix(&self) -> &str {
        &self.upstream.prefix
    }

    /// Sends on an idle connection or on a new one; tries again only where nothing was sent.
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, SendError> {
        let mut request = Outgoing::new(request).await?;
        while let Some(connection) = self.take() {
            match connection.send(request).await {
                Ok(response) => return Ok(response),
                Err(NotAnswered { unsent: Some(unsent), .. }) => request = *unsent,
                Err(NotAnswered { error, unsent: None }) => return Err(error.into()),
            }
        }
        let connection = Connection::new(self.open().await.map_err(SendError::Connect)?);
        connection.send(request).await.map_err(|not_answered| not_answered.error.into())
    }

    /// The status of the program's answer to a plain GET.
    pub(super) async fn probe(&self, path: &PathAndQuery) -> Result<StatusCode, SendError> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path.clone().into();
        if let Ok(host) = self.upstream.authority.as_str().parse() {
            request.headers_mut().insert(header::HOST, host);
        }
        Ok(self.send(request).await?.status())
    }

    pub(super) async fn open(&self) -> io::Result<TcpStream> {
        let authority = &self.upstream.authority;
        // A static binary should not have to resolve this one.
        let host = match authority.host() {
            "localhost" => "127.0.0.1",
            host => host.trim_start_matches('[').trim_end_matches(']'),
        };
        let connecting = TcpStream::connect((host, authority.port_u16().unwrap_or(80)));
        let stream = timeout(CONNECT_TIMEOUT, connecting).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A connection whose answer was read to its end.
    pub(super) fn give_back(&self, connection: Connection) {
        self.idle().push(Idle { connection, since: Instant::now() });
    }

    /// Closes what nobody uses any more, for as long as it is polled.
    pub(super) async fn tend(&self) -> Infallible {
        loop {
            sleep(TEND_INTERVAL).await;
            self.close_stale();
        }
    }

    /// The connection that was used last.
    fn take(&self) -> Option<Connection> {
        self.close_stale();
        self.idle().pop().map(|idle| idle.connection)
    }

    fn close_stale(&self) {
        let now = Instant::now();
        self.idle().retain(|idle| now - idle.since < MAX_IDLE);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
