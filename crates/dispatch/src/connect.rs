//! Connecting to a replica.

use std::{io, net::SocketAddr, time::Duration};

use rustix::net::sockopt;
use skep_http::Connection;
use tokio::{net::TcpStream, time::timeout};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The replica's host must answer TCP keepalives within this time, however long the call runs; otherwise it counts as lost.
const HOST_TIMEOUT: Duration = Duration::from_secs(6);
/// How long a connection is silent before TCP keepalives begin, and how often they are sent.
const KEEPALIVE_DELAY: Duration = Duration::from_secs(3);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) async fn connect(address: SocketAddr) -> io::Result<Connection> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await.map_err(io::Error::from)??;
    stream.set_nodelay(true)?;
    watch_host(&stream)?;
    Ok(Connection::new(stream))
}

/// Whether an error means that the other host does not answer at all.
pub(crate) fn is_of_lost_host(error: &io::Error) -> bool {
    use io::ErrorKind::{HostUnreachable, NetworkUnreachable, TimedOut};
    matches!(error.kind(), TimedOut | HostUnreachable | NetworkUnreachable)
}

/// Has the kernel end the connection when the host at its other end is gone without a word, as when its node is cut off.
///
/// A replica that is only slow, stopped, or about to end answers, because its kernel does.
fn watch_host(stream: &TcpStream) -> io::Result<()> {
    let limit = u32::try_from(HOST_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(stream, limit)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_DELAY)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_socket_keepalive(stream, true)?;
    Ok(())
}
