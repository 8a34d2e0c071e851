//! The other side of a connection.

use std::time::Duration;

use skep_http::Connection;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

/// Does what its steps say, and then holds what they left.
pub(crate) struct Peer<T>(JoinHandle<Option<T>>);

impl<T: Send + 'static> Peer<T> {
    pub(crate) async fn connected<F, Fut>(does: F) -> (Connection, Self)
    where
        F: FnOnce(TcpStream) -> Fut,
        Fut: Future<Output = Option<T>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        (Connection::new(stream), Self(tokio::spawn(does(accepted))))
    }

    /// What was left, when all is done.
    pub(crate) async fn ended(self) -> Option<T> {
        timeout(Duration::from_secs(10), self.0).await.unwrap().unwrap()
    }
}

/// Reads a little of a request.
pub(crate) async fn begin_of(stream: &mut TcpStream) {
    stream.read_exact(&mut [0; 5]).await.unwrap();
}

/// Reads a request to its end.
pub(crate) async fn request_of(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !is_whole(&String::from_utf8_lossy(&read)) {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "{}", String::from_utf8_lossy(&read));
    }
    String::from_utf8(read).unwrap()
}

fn is_whole(read: &str) -> bool {
    let Some((head, body)) = read.split_once("\r\n\r\n") else { return read.ends_with("0\r\n\r\n") };
    if head.contains("transfer-encoding: chunked") {
        return body.ends_with("0\r\n\r\n");
    }
    let length = head.split("content-length: ").nth(1).map_or("0", |rest| rest.split("\r\n").next().unwrap());
    body.len() >= length.parse().unwrap()
}
