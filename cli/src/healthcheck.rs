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
    let answer = match timeout(WITHIN, ask(address)).await {
        Ok(answer) => answer.map_err(|error| not_ready(address, error))?,
        Err(_) => return Err(not_ready(address, format_args!("no answer within {} s", WITHIN.as_secs()))),
    };
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) == Some("200") { Ok(()) } else { Err(not_ready(address, body)) }
}

async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.take(10_000).read_to_string(&mut answer).await?;
    Ok(answer)
}

fn not_ready(address: SocketAddr, reason: impl std::fmt::Display) -> Failure {
    Failure::internal(anyhow::anyhow!("{address} is not ready: {reason}"))
}
