//! Connecting to a replica.

use std::{io, net::SocketAddr, time::Duration};

use rustix::net::sockopt;
use skep_http::Connection;
use tokio::{net::TcpStream, time::timeout};

use crate::BodyError;

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// The replica's host must answer the kernel within this, however long the call runs; else it is taken to be lost with the call.
const HOST_ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// When nothing has come for so long, the host is asked, and then so often.
const ASK_HOST_AFTER: Duration = Duration::from_secs(5);
const ASK_HOST_EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn connect(address: SocketAddr) -> Result<Connection, BodyError> {
    let stream = timeout(CONNECT_WITHIN, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    watch_host(&stream)?;
    Ok(Connection::new(stream))
}

/// Has the kernel end the connection when the host at its other end is gone without a word, as when its node is cut off.
///
/// A replica that is only slow, stopped, or about to end answers, because its kernel does.
fn watch_host(stream: &TcpStream) -> io::Result<()> {
    let limit = u32::try_from(HOST_ANSWERS_WITHIN.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(stream, limit)?;
    sockopt::set_tcp_keepidle(stream, ASK_HOST_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, ASK_HOST_EVERY)?;
    sockopt::set_socket_keepalive(stream, true)?;
    Ok(())
}
