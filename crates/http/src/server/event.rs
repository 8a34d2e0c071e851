//! Events of a server's connections, for its log and metrics.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use crate::BodyError;

/// An event of a server. The program that runs the server decides what becomes of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'event> {
    /// No connection can be accepted at the moment, such as when no file descriptor is free. The server tries again soon.
    AcceptFailed(&'event io::Error),
    /// All connections are in use, so further ones wait. Reported at most once a minute.
    ConnectionLimitReached,
    /// An address has its share of connections, so further ones are refused. Reported at most once a minute.
    AddressLimitReached(IpAddr),
    /// A connection could not be given to a runtime.
    NotServed { error: &'event io::Error, peer: SocketAddr },
    /// A connection went wrong; `what` says how. Clients do this all the time.
    Failed { what: &'static str, error: Option<&'event BodyError>, peer: SocketAddr },
    /// Connections are cut because the grace period is over.
    Cut { connections: usize },
    /// All connections have ended.
    Drained,
}

/// Receives the events of a server.
pub(crate) type Observer = std::sync::Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// Writes an event to the log.
#[cfg(feature = "serve")]
pub(crate) fn log(event: &Event<'_>) {
    use tracing::{debug, info, warn};
    match event {
        Event::AcceptFailed(error) => warn!(%error, "no connection can be accepted at the moment"),
        Event::ConnectionLimitReached => {
            warn!("connection limit reached; new connections wait (--max-connections, ulimit -Hn)");
        }
        Event::AddressLimitReached(address) => {
            warn!(
                %address,
                "one address has reached its connection limit; its new connections are closed (--max-connections-per-address; --trusted-proxies if it is a proxy)"
            );
        }
        Event::NotServed { error, peer } => warn!(%error, %peer, "a connection cannot be served"),
        Event::Failed { what, error: Some(error), peer } => debug!(%error, %peer, "{what}"),
        Event::Failed { what, error: None, peer } => debug!(%peer, "{what}"),
        Event::Cut { connections } => warn!(connections, "connections are cut after the grace period"),
        Event::Drained => info!("HTTP server has drained"),
    }
}
