//! One HTTP/1.1 connection to a replica.

use std::{net::SocketAddr, time::Duration};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};
use tokio_util::task::TaskTracker;

use crate::{Body, BodyError};

const CONNECT_WITHIN: Duration = Duration::from_secs(2);

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
