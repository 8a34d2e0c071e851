//! Binding sockets, before anything else is started.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::failure::{Result, bad_setting};

/// Binds a listener; a failure names the setting.
pub(crate) async fn bind(flag: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| bad_setting(flag, format!("cannot listen on {address}: {error}")))
}

/// Where a listener really listens (port 0 asks for any).
pub(crate) fn local_address(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(crate::Failure::internal)
}
