//! The settings of a server: its limits, and how it drains.

use std::time::Duration;

#[cfg(feature = "serve")]
use ipnet::IpNet;

#[cfg(feature = "serve")]
use crate::{Readiness, Tls};

/// hyper's own default, which it serves without an allocation.
pub(super) const USUAL_HEADERS: usize = 100;

/// What one client may cost before anything is known of it.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// A request's head must be there within this; an idle connection is closed after it as well. `None`: no limit.
    pub header_read_timeout: Option<Duration>,
    /// Beyond it: 431.
    pub max_headers: usize,
    /// Of the whole head; beyond it: 431.
    pub max_header_bytes: usize,
    /// Connections at once; beyond it they wait to be accepted.
    pub max_connections: usize,
    /// Those from one address; beyond it they are refused. Loopback and `ServeConfig::proxies` are not counted.
    pub max_connections_per_address: usize,
    /// A client that reads nothing of an answer for this long is given up; 0 means no limit.
    /// An HTTP/2 connection without requests for this long is closed.
    pub write_timeout: Duration,
    /// Requests at once on one connection of HTTP/2.
    pub max_streams: u32,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            header_read_timeout: Some(Duration::from_secs(10)),
            max_headers: USUAL_HEADERS,
            max_header_bytes: 64 * 1024,
            max_connections: 16_384,
            max_connections_per_address: 4_096,
            write_timeout: Duration::from_secs(60),
            max_streams: 256,
        }
    }
}

/// How a server ends.
#[cfg(feature = "serve")]
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// How long the server still takes calls; each answer closes its connection, so that clients leave.
    pub linger: Duration,
    /// Then what is in flight has this long to end, and the rest is cut.
    pub grace: Duration,
}

/// How a server serves.
#[cfg(feature = "serve")]
#[derive(Clone, Debug)]
pub struct ServeConfig {
    pub limits: HttpLimits,
    /// Each of these speaks for many callers, so `max_connections_per_address` does not count their connections.
    pub proxies: Vec<IpNet>,
    /// `None`: what comes is not encrypted.
    pub tls: Option<Tls>,
    pub drain: Drain,
    /// Of the process, which should get no more work when no place has been free for a while.
    pub readiness: Option<Readiness>,
}
