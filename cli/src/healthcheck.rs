//! `skep healthcheck`: whether the role in this container is ready; the images have no other program that could ask.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    args::HealthcheckArgs,
    failure::{Failure, Result},
};

const WITHIN: Duration = Duration::from_secs(2);

pub(crate) async fn run(args: HealthcheckArgs) -> Result<()> {
    let mut address = args.admin_listen;
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let asked = ask(address, "/readyz").await;
    asked.map_err(|reason| Failure::internal(anyhow::anyhow!("{address} is not ready: {reason}")))
}

/// Whether a path is answered with 200, and soon; if not, why.
pub(crate) async fn ask(address: SocketAddr, path: &str) -> Result<(), String> {
    let answer = match timeout(WITHIN, answer(address, path)).await {
        Ok(answer) => answer.map_err(|error| error.to_string())?,
        Err(_) => return Err(format!("no answer within {} s", WITHIN.as_secs())),
    };
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) == Some("200") { Ok(()) } else { Err(body.trim().to_owned()) }
}

async fn answer(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(10_000).read_to_string(&mut answer).await?;
    Ok(answer)
}
