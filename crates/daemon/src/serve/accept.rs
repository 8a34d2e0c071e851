//! Connections as they come in.

use std::{io, net::SocketAddr, pin::Pin, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
    time::sleep,
};
use tracing::{debug, warn};

use super::places::Places;

/// After an error that will not pass by itself (no file descriptor is free), the next accept waits.
const AGAIN: Duration = Duration::from_millis(100);

/// A connection, its peer, and the place that it takes.
pub(super) type Accepted = (TcpStream, SocketAddr, OwnedSemaphorePermit);

/// The next connection; `None` at the end.
pub(super) async fn accept(
    listener: &TcpListener,
    places: &mut Places,
    end: Pin<&mut impl Future<Output = ()>>,
) -> Option<Accepted> {
    let next = async {
        let place = places.take().await?;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => return Some((without_delay(stream, peer), peer, place)),
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
pub(super) fn last_ones(listener: TcpListener, places: &Places) -> Vec<Accepted> {
    let mut found = Vec::new();
    let Ok(listener) = listener.into_std() else { return found };
    while let Some(place) = places.take_now()
        && let Ok((stream, peer)) = listener.accept()
    {
        match stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
            Ok(stream) => found.push((without_delay(stream, peer), peer, place)),
            Err(error) => debug!(%error, %peer, "a connection was lost at the end"),
        }
    }
    found
}

fn without_delay(stream: TcpStream, peer: SocketAddr) -> TcpStream {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, %peer, "TCP_NODELAY was not set");
    }
    stream
}

fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}
