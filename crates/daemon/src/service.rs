//! What a server answers requests with.

use axum::Router;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use tower::Service as _;

/// Answers requests; cheap to clone, as each connection has one of its own.
pub trait Service: Clone + Send + Sync + 'static {
    /// Of an answer.
    type Body: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static;

    /// Every request has an answer, if only one that says what is wrong.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// Routes with their state inside, so that they are not built again for each connection.
impl Service for Router {
    type Body = axum::body::Body;

    async fn answer(&self, request: Request<Incoming>) -> Response<Self::Body> {
        let mut routes = self.clone();
        routes.call(request).await.unwrap_or_else(|never| match never {})
    }
}
