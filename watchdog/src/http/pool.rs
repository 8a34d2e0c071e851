//! Keep-alive connections to the program.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    Request, Response, StatusCode, header,
    uri::{Authority, PathAndQuery},
};
use http_body_util::{Either, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::{net::TcpStream, time::timeout};
use tokio_util::task::TaskTracker;

use crate::{body::CallBody, plan::Upstream};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Shorter than the idle time-out of any common server, so that a connection is not used just when it is closed.
const LONGEST_IDLE: Duration = Duration::from_secs(1);

/// The connections to one start of the program.
#[derive(Debug)]
pub(super) struct Pool {
    upstream: Upstream,
    idle: Mutex<Vec<Idle>>,
    tasks: TaskTracker,
}

/// A connection whose answer is still read.
#[derive(Debug)]
pub(crate) struct Lease {
    sender: SendRequest<CallBody>,
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<CallBody>,
    since: Instant,
}

#[derive(Debug, Error)]
pub(super) enum SendError {
    /// Nothing was sent.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    #[error(transparent)]
    Lost(#[from] hyper::Error),
    #[error("it answered 101 to a request that asks for no upgrade")]
    Unasked,
}

impl Pool {
    pub(super) fn new(upstream: Upstream, tasks: TaskTracker) -> Arc<Self> {
        Arc::new(Self { upstream, idle: Mutex::default(), tasks })
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.upstream.authority
    }

    pub(super) fn prefix(&self) -> &str {
        &self.upstream.prefix
    }

    /// Sends on an idle connection or on a new one; tries again only where nothing was sent.
    pub(super) async fn send(
        self: &Arc<Self>,
        mut request: Request<CallBody>,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        while let Some(mut sender) = self.take() {
            let mut error = match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, Lease { sender, pool: Arc::clone(self) })),
                Err(error) => error,
            };
            match error.take_message() {
                Some(unsent) => request = unsent,
                None => return Err(SendError::Lost(error.into_error())),
            }
        }
        self.send_alone(request).await
    }

    /// Sends on a new connection, which an answer 101 may make into one of another protocol.
    pub(super) async fn send_alone(
        self: &Arc<Self>,
        request: Request<CallBody>,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        let mut sender = self.connect().await?;
        let response = sender.send_request(request).await?;
        Ok((response, Lease { sender, pool: Arc::clone(self) }))
    }

    /// The status of the program's answer to a plain GET.
    pub(super) async fn probe(self: &Arc<Self>, path: &PathAndQuery) -> Result<StatusCode, SendError> {
        let mut request = Request::new(Either::Right(Full::new(Bytes::new())));
        *request.uri_mut() = path.clone().into();
        if let Ok(host) = self.upstream.authority.as_str().parse() {
            request.headers_mut().insert(header::HOST, host);
        }
        let (response, _) = self.send(request).await?;
        Ok(response.status())
    }

    pub(super) async fn open(&self) -> io::Result<TcpStream> {
        let authority = &self.upstream.authority;
        // A static binary should not have to resolve this one.
        let host = match authority.host() {
            "localhost" => "127.0.0.1",
            host => host.trim_start_matches('[').trim_end_matches(']'),
        };
        let connecting = TcpStream::connect((host, authority.port_u16().unwrap_or(80)));
        let stream = timeout(CONNECT_LIMIT, connecting).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn connect(&self) -> Result<SendRequest<CallBody>, SendError> {
        let stream = self.open().await.map_err(SendError::Connect)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        self.tasks.spawn(async move {
            // Whoever uses the connection hears of its failure.
            let _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }

    /// The connection that was used last and is ready; those that are too old go.
    fn take(&self) -> Option<SendRequest<CallBody>> {
        let mut idle = self.idle();
        idle.retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() < LONGEST_IDLE);
        let place = idle.iter().rposition(|idle| idle.sender.is_ready())?;
        Some(idle.remove(place).sender)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// The answer was read to its end.
    pub(super) fn give_back(self) {
        if !self.sender.is_closed() {
            self.pool.idle().push(Idle { sender: self.sender, since: Instant::now() });
        }
    }
}
