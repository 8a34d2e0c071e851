//! The trivial upstream: reads a request and answers three bytes. It is the least that a function can cost.

use std::{convert::Infallible, net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, time::sleep};

use crate::{
    bench::Bench,
    http::Target,
    process::{Launch, Process, free_address},
};

/// Serves until the process is terminated.
pub(crate) async fn run(port: u16, delay: Duration) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.context("cannot listen")?;
    loop {
        let (stream, _) = listener.accept().await.context("cannot accept")?;
        stream.set_nodelay(true)?;
        // It ends with its connection or with the process; a broken connection is its client's business.
        tokio::spawn(async move {
            let mut server = http1::Builder::new();
            let server = server.header_read_timeout(None);
            let _ = server.serve_connection(TokioIo::new(stream), service_fn(|request| answer(request, delay))).await;
        });
    }
}

async fn answer(request: Request<Incoming>, delay: Duration) -> Result<Response<Full<Bytes>>, Infallible> {
    let _ = request.into_body().collect().await;
    if !delay.is_zero() {
        sleep(delay).await;
    }
    let mut response = Response::new(Full::new(Bytes::from_static(b"ok\n")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// Starts one in a process of its own.
pub(crate) async fn start(bench: &Bench) -> Result<(Process, Target)> {
    let target = Target::new(free_address()?, "/");
    let mut process = Process::start(
        bench,
        Launch {
            name: "upstream",
            program: &bench.programs.own,
            arguments: vec!["upstream".into()],
            variables: vec![("PORT", target.address.port().to_string().into())],
        },
    )?;
    process.until_ready(async || target.answers().await).await?;
    Ok((process, target))
}
