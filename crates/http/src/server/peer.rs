//! The other end of a connection.

use std::net::{IpAddr, SocketAddr};

use http::HeaderValue;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its IP address. An IPv4-mapped IPv6 address is given as IPv4.
    pub address: IpAddr,
    /// The same as text.
    pub ip: HeaderValue,
    /// Whether the connection is.
    pub is_encrypted: bool,
}

impl Peer {
    pub fn new(address: SocketAddr, is_encrypted: bool) -> Self {
        let address = address.ip().to_canonical();
        let ip = HeaderValue::try_from(address.to_string());
        // An address is visible ASCII.
        Self { address, ip: ip.unwrap_or(HeaderValue::from_static("unknown")), is_encrypted }
    }
}
