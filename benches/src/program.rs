//! A function in this process, so that it has the bench's clock.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet, time::sleep};

/// Serves until it is dropped.
pub(crate) struct Program {
    pub(crate) address: SocketAddr,
    _connections: JoinSet<()>,
}

impl Program {
    /// Answers at once, and hands over each body.
    pub(crate) async fn start(saw: impl Fn(&[u8]) + Send + Sync + 'static) -> Result<Self> {
        Self::serve(Duration::ZERO, saw).await
    }

    /// Answers after a while.
    pub(crate) async fn slow(after: Duration) -> Result<Self> {
        Self::serve(after, |_| {}).await
    }

    async fn serve(after: Duration, saw: impl Fn(&[u8]) + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen")?;
        let address = listener.local_addr()?;
        let saw = Arc::new(saw);
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let saw = Arc::clone(&saw);
                let answer = move |request: Request<Incoming>| {
                    let saw = Arc::clone(&saw);
                    async move {
                        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                        saw(&body);
                        sleep(after).await;
                        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                    }
                };
                let mut server = http1::Builder::new();
                server.header_read_timeout(None);
                let connection = server.serve_connection(TokioIo::new(stream), service_fn(answer));
                // A broken connection is its client's business.
                open.spawn(async move { connection.await.unwrap_or(()) });
                while open.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, _connections: connections })
    }
}
