//! Where requests come in. Synchronous calls skip the router, because they are most of what a gateway does; all other requests go by the routes.

use std::sync::Arc;

use axum::Router;
use http::{HeaderMap, Request, Response};
use skep_http::{Body, Peer};
use tower::Service;

use crate::{Result, app::App, function, rates::Rates};

#[derive(Clone)]
pub(crate) struct FastPathRouter {
    /// Without it there are no functions here.
    app: Option<Arc<App>>,
    routes: Router,
    /// Without it nobody's requests are counted.
    rates: Option<Arc<Rates>>,
}

impl FastPathRouter {
    pub(crate) fn new(app: Arc<App>, routes: Router, rates: Option<Arc<Rates>>) -> Self {
        Self { app: Some(app), routes, rates }
    }

    /// For routes that share their origin with nothing that functions say.
    pub(crate) fn without_functions(routes: Router, rates: Option<Arc<Rates>>) -> Self {
        Self { app: None, routes, rates }
    }

    /// Refuses a request whose address makes too many.
    pub(crate) fn admit(&self, peer: &Peer, headers: &HeaderMap) -> Result<()> {
        self.rates.as_ref().map_or(Ok(()), |rates| rates.admit(peer, headers))
    }

    pub(crate) async fn answer(&self, peer: &Peer, mut request: Request<Body>) -> Response<Body> {
        if let Some(app) = &self.app
            && function::is_call(request.uri().path())
        {
            return function::invoke(app, peer, request).await;
        }
        // The handlers find the peer here.
        request.extensions_mut().insert(peer.clone());
        let mut routes = self.routes.clone();
        routes.call(request).await.unwrap_or_else(|never| match never {}).map(Body::new)
    }
}
