//! Where requests come in: synchronous calls go their own straight way, for they are most of what a gateway does; all else goes by the routes.

use std::sync::Arc;

use axum::Router;
use http::{Request, Response};
use skep_http::{Body, Peer};
use tower::Service;

use crate::{app::App, function};

#[derive(Clone)]
pub(crate) struct FastPathRouter {
    /// Without it there are no functions here.
    app: Option<Arc<App>>,
    routes: Router,
}

impl FastPathRouter {
    pub(crate) fn new(app: Arc<App>, routes: Router) -> Self {
        Self { app: Some(app), routes }
    }

    /// For routes that share their origin with nothing that functions say.
    pub(crate) fn without_functions(routes: Router) -> Self {
        Self { app: None, routes }
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
