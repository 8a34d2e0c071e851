//! Bytes to a port, for requests that no client would send.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::DEADLINE;

/// Connects and sends.
pub(crate) async fn send(address: SocketAddr, request: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other side may have answered and closed before all was written.
    let _ = stream.write_all(request.as_ref()).await;
    stream
}

/// Everything that comes until the other side closes.
pub(crate) async fn rest_of(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A connection that is cut ends with an error after its last byte.
    let _ = timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("the connection was not closed");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends, and takes everything that comes until the other side closes.
pub(crate) async fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> String {
    rest_of(&mut send(address, request).await).await
}

/// The body of an answer that was read to the end of the connection.
pub(crate) fn body_of(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}")).1
}
