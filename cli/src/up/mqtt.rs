//! MQTT of the NATS server that `skep up` starts: where it listens.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tracing::warn;

use crate::failure::{Failure, Result, bad_setting};

/// Finds the address free, and says where that is.
pub(crate) async fn reserve(listen: SocketAddr) -> Result<SocketAddr> {
    let free = TcpListener::bind(listen).await;
    let free = free.map_err(|error| bad_setting("--mqtt-listen", format!("cannot listen on {listen}: {error}")))?;
    let address = free.local_addr().map_err(Failure::internal)?;
    if !address.ip().is_loopback() {
        warn!(
            %address,
            "MQTT is not encrypted here: everybody who can listen to this network can read the messages and the password of devices"
        );
    }
    Ok(address)
}

/// Its part of the server's settings. A server that takes MQTT has to have a name.
pub(crate) fn settings(address: SocketAddr) -> String {
    let (host, port) = (address.ip(), address.port());
    format!("\nserver_name: skep\nmqtt {{ host: \"{host}\", port: {port} }}\n")
}
