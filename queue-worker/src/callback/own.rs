//! The addresses on which skep itself listens. No callback goes there, whatever is allowed.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use skep_dispatch::Registry;

/// Listeners of this process and of NATS, and the watchdogs of all functions.
#[derive(Clone)]
pub(crate) struct Own {
    pub(crate) listeners: Vec<SocketAddr>,
    pub(crate) registry: Option<Registry>,
}

impl Own {
    /// Whether skep listens at this port of any address.
    pub(crate) fn has_port(&self, port: u16) -> bool {
        self.any(|listener| listener.port() == port)
    }

    /// Whether skep listens at any port of this address.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        let is_here = is_of_this_machine(address);
        self.any(|listener| match listener.ip().to_canonical() {
            ip if ip.is_unspecified() || address.is_unspecified() => is_here,
            ip => ip == address,
        })
    }

    fn any(&self, is_wanted: impl Fn(SocketAddr) -> bool) -> bool {
        self.listeners.iter().copied().any(&is_wanted)
            || self.registry.as_ref().is_some_and(|registry| registry.has_replica(is_wanted))
    }
}

/// Only an address of this machine can be bound; the port that is taken for it is given back at once.
fn is_of_this_machine(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(listeners: &[&str]) -> Own {
        Own { listeners: listeners.iter().map(|text| text.parse().unwrap()).collect(), registry: None }
    }

    fn has(own: &Own, address: &str) -> bool {
        own.has_address(address.parse().unwrap())
    }

    #[test]
    fn a_listener_is_found_by_its_address_and_by_the_one_that_stands_for_all() {
        let loopback = own(&["127.0.0.1:8080"]);
        assert!(has(&loopback, "127.0.0.1") && has(&loopback, "0.0.0.0"));
        assert!(!has(&loopback, "127.0.0.2") && !has(&loopback, "192.0.2.1"));
        assert!(loopback.has_port(8080) && !loopback.has_port(8081));
        let all = own(&["0.0.0.0:8080"]);
        assert!(has(&all, "127.0.0.1") && has(&all, "127.9.9.9") && has(&all, "0.0.0.0"));
        assert!(!has(&all, "192.0.2.1"));
    }
}
