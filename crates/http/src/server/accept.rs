//! Connections as they come in.

use std::{
    io::{self, Write},
    net::SocketAddr,
    pin::Pin,
    time::Duration,
};

use rustix::net::sockopt;
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tracing::{debug, warn};

use super::places::{Place, Places};

/// After an error that will not pass by itself (no file descriptor is free), the next accept waits.
const AGAIN: Duration = Duration::from_millis(100);
/// A client's host of which nothing has come for so long is asked whether it is there, and then so often.
const ASK_HOST_AFTER: Duration = Duration::from_secs(30);
const ASK_HOST_EVERY: Duration = Duration::from_secs(10);

/// A connection, its peer, and the place that it takes.
pub(super) type Accepted = (TcpStream, SocketAddr, Place);

/// What is done with a connection when it is accepted.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub(super) write_timeout: Duration,
    pub(super) is_encrypted: bool,
}

/// The next connection; `None` at the end.
pub(super) async fn accept(
    listener: &TcpListener,
    terms: Terms,
    places: &mut Places,
    end: Pin<&mut impl Future<Output = ()>>,
) -> Option<Accepted> {
    let next = async {
        loop {
            let place = places.take().await?;
            match listener.accept().await {
                Ok((stream, peer)) => match places.give(place, peer.ip()) {
                    Some(place) => return Some((prepared(stream, peer, terms), peer, place)),
                    None => refuse(stream, peer, terms),
                },
                Err(error) if is_of_the_peer(&error) => debug!(%error, "a connection was gone before it was accepted"),
                Err(error) => {
                    warn!(%error, "no connection can be accepted at the moment");
                    sleep(AGAIN).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = end => None,
        accepted = next => accepted,
    }
}

/// The connections that wait to be accepted; closing the listener would break them off.
pub(super) fn last_ones(listener: TcpListener, terms: Terms, places: &mut Places) -> Vec<Accepted> {
    let mut found = Vec::new();
    let Ok(listener) = listener.into_std() else { return found };
    while let Some(place) = places.take_now()
        && let Ok((stream, peer)) = listener.accept()
    {
        let Some(place) = places.give(place, peer.ip()) else { continue };
        match stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
            Ok(stream) => found.push((prepared(stream, peer, terms), peer, place)),
            Err(error) => debug!(%error, %peer, "a connection was lost at the end"),
        }
    }
    found
}

/// Closes a connection beyond its address's share, and says why where that can be said in plain text; no task waits for it.
fn refuse(stream: TcpStream, peer: SocketAddr, terms: Terms) {
    const REASON: &str = "too many connections from one address (--max-connections-per-address)\n";
    if terms.is_encrypted {
        return;
    }
    let answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
         retry-after: 1\r\nx-skep-error: too_many_connections\r\nx-openfaas-internal: gateway\r\n\r\n{REASON}",
        REASON.len()
    );
    // The kernel has room for it, and a client that is gone needs no answer.
    let told = stream.into_std().and_then(|mut stream| stream.write_all(answer.as_bytes()));
    debug!(?told, %peer, "a connection was refused");
}

fn prepared(stream: TcpStream, peer: SocketAddr, terms: Terms) -> TcpStream {
    if let Err(error) = set_options(&stream, terms.write_timeout) {
        debug!(%error, %peer, "the options of a connection were not set");
    }
    stream
}

/// Has the kernel end a connection whose client takes nothing of what was sent, or whose host is gone without a word.
///
/// It counts only while there is something to take: an answer that says nothing for hours is not hurt, and a call costs nothing.
fn set_options(stream: &TcpStream, write_timeout: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_tcp_user_timeout(stream, u32::try_from(write_timeout.as_millis()).unwrap_or(u32::MAX))?;
    sockopt::set_tcp_keepidle(stream, ASK_HOST_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, ASK_HOST_EVERY)?;
    sockopt::set_socket_keepalive(stream, true)?;
    Ok(())
}

fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}
