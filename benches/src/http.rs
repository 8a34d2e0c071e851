//! One HTTP/1.1 connection, driven by the task that uses it.

use std::{
    iter::Cycle,
    net::SocketAddr,
    slice,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    vec,
};

use anyhow::{Context, Result, anyhow};
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
    header::{self, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::load::BODY;

static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);
/// Requests with a header of which no two have the same value.
static SENT: AtomicU64 = AtomicU64::new(0);
const FAR_APART: usize = 7919;

/// Where a request goes, and what its answer must be.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    /// Requests take turns with these, if there are any.
    pub(crate) paths: Arc<[String]>,
    pub(crate) expected: StatusCode,
    /// What a request carries.
    pub(crate) body: Bytes,
    /// Headers of its own.
    pub(crate) headers: Arc<HeaderMap>,
    /// One that has another value in each request.
    pub(crate) unique: Option<HeaderName>,
}

impl Target {
    pub(crate) fn new(address: SocketAddr, path: impl Into<String>) -> Self {
        Self {
            address,
            path: path.into(),
            paths: Arc::default(),
            expected: StatusCode::OK,
            body: Bytes::from_static(&BODY),
            headers: Arc::default(),
            unique: None,
        }
    }

    pub(crate) fn with_body(self, size: usize) -> Self {
        Self { body: vec![b'x'; size].into(), ..self }
    }

    /// Whether a GET is answered as expected.
    pub(crate) async fn answers(&self) -> bool {
        let asked = with_requests(self, async |requests: &mut Requests| requests.send(Method::GET, Bytes::new()).await);
        asked.await.is_ok()
    }

    /// The body of the answer to a GET.
    pub(crate) async fn read(&self) -> Result<String> {
        let asked = with_requests(self, async |requests| requests.ask(Method::GET, Bytes::new()).await);
        Ok(String::from_utf8_lossy(&asked.await?).into_owned())
    }
}

/// Sends one request after the other.
pub(crate) struct Requests {
    sender: SendRequest<Full<Bytes>>,
    uris: Cycle<vec::IntoIter<Uri>>,
    headers: HeaderMap,
    unique: Option<HeaderName>,
    expected: StatusCode,
}

impl Requests {
    /// Sends a request and reads the whole answer; another status than the expected one is an error.
    pub(crate) async fn send(&mut self, method: Method, body: Bytes) -> Result<()> {
        self.ask(method, body).await.map(|_| ())
    }

    /// The same, but a 429 is no error; whether it was answered as expected.
    pub(crate) async fn try_send(&mut self, method: Method, body: Bytes) -> Result<bool> {
        match self.exchange(method, body).await? {
            (StatusCode::TOO_MANY_REQUESTS, _) => Ok(false),
            (status, body) => self.as_expected(status, body).map(|_| true),
        }
    }

    async fn ask(&mut self, method: Method, body: Bytes) -> Result<Bytes> {
        let (status, body) = self.exchange(method, body).await?;
        self.as_expected(status, body)
    }

    fn as_expected(&self, status: StatusCode, body: Bytes) -> Result<Bytes> {
        if status == self.expected {
            return Ok(body);
        }
        let host = self.headers.get(header::HOST);
        Err(anyhow!("answer {status} from {host:?}: {}", String::from_utf8_lossy(&body).trim()))
    }

    async fn exchange(&mut self, method: Method, body: Bytes) -> Result<(StatusCode, Bytes)> {
        let uri = self.uris.next().context("no path")?;
        let mut request = Request::builder().method(method).uri(uri).body(Full::new(body))?;
        *request.headers_mut() = self.headers.clone();
        if let Some(name) = &self.unique {
            request.headers_mut().insert(name, SENT.fetch_add(1, Ordering::Relaxed).into());
        }
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}

/// Opens a connection and works with it. Both live in one task, so that a request costs no switch between tasks.
pub(crate) async fn with_requests<T>(target: &Target, work: impl AsyncFnOnce(&mut Requests) -> Result<T>) -> Result<T> {
    let address = target.address;
    let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_str(&address.to_string())?);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.extend((*target.headers).clone());
    let paths = if target.paths.is_empty() { slice::from_ref(&target.path) } else { &target.paths };
    let mut uris = paths.iter().map(|path| path.parse()).collect::<Result<Vec<Uri>, _>>()?;
    // Each connection begins with another one.
    let first = CONNECTIONS.fetch_add(1, Ordering::Relaxed) * FAR_APART % uris.len();
    uris.rotate_left(first);
    let (uris, unique) = (uris.into_iter().cycle(), target.unique.clone());
    let mut requests = Requests { sender, uris, headers, unique, expected: target.expected };
    tokio::select! {
        worked = work(&mut requests) => worked,
        ended = connection => {
            ended.with_context(|| format!("the connection to {address} broke"))?;
            Err(anyhow!("{address} closed the connection"))
        }
    }
}
