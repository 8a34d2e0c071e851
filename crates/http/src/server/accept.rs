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

use super::{
    event::{Event, Observer},
    places::{Place, Places},
};

/// How long the next accept waits after an error that does not pass by itself, such as no free file descriptor.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// How long a connection is silent before TCP keepalives begin, and how often they are sent.
const KEEPALIVE_DELAY: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// A connection, its peer, and the place that it takes.
pub(super) type Accepted = (TcpStream, SocketAddr, Place);

/// Accepts connections and prepares them.
pub(super) struct Acceptor {
    pub(super) listener: TcpListener,
    pub(super) places: Places,
    pub(super) write_timeout: Duration,
    pub(super) is_encrypted: bool,
    pub(super) observe: Observer,
}

impl Acceptor {
    /// The next connection; `None` at the end.
    pub(super) async fn next(&mut self, end: Pin<&mut impl Future<Output = ()>>) -> Option<Accepted> {
        let next = async {
            loop {
                let place = self.places.take().await?;
                match self.listener.accept().await {
                    Ok((stream, peer)) => match self.places.give(place, peer.ip()) {
                        Some(place) => return Some((self.prepared(stream, peer), peer, place)),
                        None => self.refuse(stream),
                    },
                    // The client was gone before its connection was accepted.
                    Err(error) if is_of_the_peer(&error) => {}
                    Err(error) => {
                        (self.observe)(&Event::AcceptFailed(&error));
                        sleep(ACCEPT_RETRY_DELAY).await;
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
    pub(super) fn last_ones(mut self) -> Vec<Accepted> {
        let mut found = Vec::new();
        let Ok(listener) = self.listener.into_std() else { return found };
        while let Some(place) = self.places.take_now()
            && let Ok((stream, peer)) = listener.accept()
        {
            let Some(place) = self.places.give(place, peer.ip()) else { continue };
            match stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
                Ok(stream) => found.push((prepared(stream, peer, self.write_timeout, &self.observe), peer, place)),
                Err(error) => failed(&self.observe, "a connection was lost at the end", error, peer),
            }
        }
        found
    }

    fn prepared(&self, stream: TcpStream, peer: SocketAddr) -> TcpStream {
        prepared(stream, peer, self.write_timeout, &self.observe)
    }

    /// Closes a connection beyond its address's share, and says why where that can be said in plain text; no task waits for it.
    fn refuse(&self, stream: TcpStream) {
        const REASON: &str = "too many connections from one address (--max-connections-per-address)\n";
        if self.is_encrypted {
            return;
        }
        let answer = format!(
            "HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
             retry-after: 1\r\nx-skep-error: too_many_connections\r\nx-openfaas-internal: gateway\r\n\r\n{REASON}",
            REASON.len()
        );
        // The kernel has room for it, and a client that is gone needs no answer.
        let _ = stream.into_std().and_then(|mut stream| stream.write_all(answer.as_bytes()));
    }
}

fn prepared(stream: TcpStream, peer: SocketAddr, write_timeout: Duration, observe: &Observer) -> TcpStream {
    if let Err(error) = set_options(&stream, write_timeout) {
        failed(observe, "the options of a connection were not set", error, peer);
    }
    stream
}

fn failed(observe: &Observer, what: &'static str, error: io::Error, peer: SocketAddr) {
    observe(&Event::Failed { what, error: Some(&error.into()), peer });
}

/// Has the kernel end a connection whose client takes nothing of what was sent, or whose host is gone without a word.
///
/// It counts only while there is something to take: an answer that says nothing for hours is not hurt, and a call costs nothing.
fn set_options(stream: &TcpStream, write_timeout: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_tcp_user_timeout(stream, u32::try_from(write_timeout.as_millis()).unwrap_or(u32::MAX))?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_DELAY)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_socket_keepalive(stream, true)?;
    Ok(())
}

fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}
