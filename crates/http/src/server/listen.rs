//! Where connections wait until they are accepted.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait, as far as `net.core.somaxconn` allows it, which is the same on today's Linux.
///
/// The standard library asks for 128. A spike fills them, and the kernel then delays further connections by a second or resets them.
const BACKLOG: u32 = 4096;

/// Listens on an address, with room for a spike of connections.
///
/// # Errors
///
/// The address is not of this machine, is in use, or may not be used.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // An address may be used again right after its last listener has ended, as with `TcpListener::bind`.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio::{net::TcpStream, time::timeout};

    use super::*;

    #[tokio::test]
    async fn a_spike_of_connections_waits_until_it_is_accepted() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let connecting = (0..500).map(|_| TcpStream::connect(address));
        // What finds no room is tried again by the kernel after seconds, and again, without an end that comes soon.
        let connected = timeout(Duration::from_secs(30), join_all(connecting)).await;
        let connected = connected.expect("all find room").into_iter().filter(Result::is_ok).count();
        assert_eq!(connected, 500);
    }
}
