//! What a server answers requests with.

use std::net::{IpAddr, SocketAddr};

use axum::Router;
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{Either, Full};
use hyper::body::{Body, Incoming};
use tower::Service as _;

/// Of a request: as it comes, or the whole if it came with its head.
pub type RequestBody = Either<Incoming, Full<Bytes>>;

/// Answers requests; cheap to clone, as each connection has one of its own.
pub trait Service: Clone + Send + Sync + 'static {
    /// Of an answer.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static;

    /// Every request has an answer, if only one that says what is wrong.
    fn answer(&self, peer: &Peer, request: Request<RequestBody>) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// Whoever is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its IP address; one of IPv4 is told as such, however it came.
    pub address: IpAddr,
    /// The same as text.
    pub ip: HeaderValue,
    /// Whether the connection is.
    pub is_encrypted: bool,
}

impl Peer {
    pub fn new(address: SocketAddr, is_encrypted: bool) -> Self {
        let address = address.ip().to_canonical();
        let ip = HeaderValue::try_from(address.to_string());
        // An address is visible ASCII.
        Self { address, ip: ip.unwrap_or(HeaderValue::from_static("unknown")), is_encrypted }
    }
}

/// Routes with their state inside, so that they are not built again for each connection.
///
/// Their handlers find the [`Peer`] among a request's extensions.
impl Service for Router {
    type Body = axum::body::Body;

    async fn answer(&self, peer: &Peer, mut request: Request<RequestBody>) -> Response<Self::Body> {
        request.extensions_mut().insert(peer.clone());
        let mut routes = self.clone();
        routes.call(request).await.unwrap_or_else(|never| match never {})
    }
}
