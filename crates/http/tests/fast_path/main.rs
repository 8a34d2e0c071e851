//! Simple requests and their answers over real connections, and what becomes of a connection on which others come.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod answers;
mod ends;
mod requests;

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use skep_http::{BodyError, FastPath};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower::service_fn;

pub(crate) const SOON: Duration = Duration::from_secs(10);
pub(crate) const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
pub(crate) const FAST_PATH: FastPath = FastPath { max_headers: 100, max_head_bytes: 4 << 10, idle: None };

/// A connection to a server.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// Asks the server to end.
    pub(crate) end: Arc<Notify>,
    /// Ends with the server; what it gave back, if it did.
    served: JoinHandle<Option<Vec<u8>>>,
}

impl Client {
    pub(crate) async fn of<B, F>(
        fast_path: FastPath,
        answer: impl Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        B: Body<Data = Bytes, Error: Into<BodyError>> + Send + Unpin + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let end = Arc::new(Notify::new());
        let asked = Arc::clone(&end);
        let served = tokio::spawn(async move {
            let halves = accepted.into_split();
            let answer = Arc::new(answer);
            let mut service = service_fn(move |request: Request<skep_http::Body>| {
                let answer = Arc::clone(&answer);
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    Ok::<_, Infallible>(answer(Request::from_parts(head, body)).await)
                }
            });
            let never = CancellationToken::new();
            let mut rest = fast_path.serve(halves, &never, asked.notified(), &mut service).await?;
            let mut read = Vec::new();
            rest.read_to_end(&mut read).await.unwrap();
            rest.write_all(b"taken over").await.unwrap();
            Some(read)
        });
        Self { stream, end, served }
    }

    /// Sends this and no more.
    pub(crate) async fn sends(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self
    }

    /// All that comes until the end, when nothing more is sent; and what was given back.
    pub(crate) async fn sent_all(mut self) -> (String, Option<Vec<u8>>) {
        self.stream.shutdown().await.unwrap();
        self.until_closed().await
    }

    /// All that comes until the server closes the connection, and what was given back.
    pub(crate) async fn until_closed(mut self) -> (String, Option<Vec<u8>>) {
        let mut read = String::new();
        timeout(SOON, self.stream.read_to_string(&mut read)).await.unwrap().unwrap();
        (read, self.served.await.unwrap())
    }

    /// What comes up to and with this.
    pub(crate) async fn reads_to(&mut self, last: &str) -> String {
        let mut read = Vec::new();
        while !read.ends_with(last.as_bytes()) {
            assert_ne!(timeout(SOON, self.stream.read_buf(&mut read)).await.unwrap().unwrap(), 0, "{read:?}");
        }
        String::from_utf8(read).unwrap()
    }
}
