//! One HTTP/1.1 connection to a replica.

use std::{io, net::SocketAddr, time::Duration};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
use tokio::{net::TcpStream, time::timeout};
use tokio_util::task::TaskTracker;

use crate::{Body, BodyError};

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// The replica's host must answer the kernel within this, however long the call runs; else it is taken to be lost with the call.
const HOST_ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// When nothing has come for so long, the host is asked, and then so often.
const ASK_HOST_AFTER: Duration = Duration::from_secs(5);
const ASK_HOST_EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Connection {
    sender: SendRequest<Body>,
}

/// What a failed attempt leaves: the request, if nothing of it was sent.
pub(crate) struct NotAnswered {
    pub(crate) unsent: Option<Request<Body>>,
    pub(crate) error: hyper::Error,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr, tasks: &TaskTracker) -> Result<Self, BodyError> {
        let stream = timeout(CONNECT_WITHIN, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        watch_host(&stream)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // The task ends with the connection; an error reaches whoever waits for an answer.
        tasks.spawn(async move {
            let _ = connection.await;
        });
        Ok(Self { sender })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub(crate) async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, NotAnswered> {
        if let Err(error) = self.sender.ready().await {
            return Err(NotAnswered { unsent: Some(request), error });
        }
        self.sender
            .try_send_request(request)
            .await
            .map_err(|mut failed| NotAnswered { unsent: failed.take_message(), error: failed.into_error() })
    }
}

/// Has the kernel end the connection when the host at its other end is gone without a word, as when its node is cut off.
///
/// A replica that is only slow, stopped, or about to end answers, because its kernel does.
fn watch_host(stream: &TcpStream) -> io::Result<()> {
    let limit = u32::try_from(HOST_ANSWERS_WITHIN.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(stream, limit)?;
    sockopt::set_tcp_keepidle(stream, ASK_HOST_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, ASK_HOST_EVERY)?;
    sockopt::set_socket_keepalive(stream, true)?;
    Ok(())
}
