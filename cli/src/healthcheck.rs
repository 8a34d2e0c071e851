//! `skep healthcheck`: whether the role in this container is ready; the images have no other program that could ask.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::time::timeout;

use crate::{
    args::HealthcheckArgs,
    failure::{Failure, Result},
};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

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
    let answer = match timeout(ANSWER_TIMEOUT, skep_http::get(address, path)).await {
        Ok(answer) => answer.map_err(|error| error.to_string())?,
        Err(_) => return Err(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
    };
    if answer.status() == 200 { Ok(()) } else { Err(String::from_utf8_lossy(answer.body()).trim().to_owned()) }
}
