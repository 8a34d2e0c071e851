//! Where requests come in: synchronous calls go their own straight way, for they are most of what a gateway does; all else goes by the routes.

use std::sync::Arc;

use axum::{Router, body::Body, response::IntoResponse};
use http::{Request, Response};
use http_body_util::Either;
use skep_http::{Peer, RequestBody, Service};

use crate::{app::App, door::settle_host, function};

#[derive(Clone)]
pub(crate) struct Entrance {
    /// Without it there are no functions here.
    app: Option<Arc<App>>,
    routes: Router,
}

impl Entrance {
    pub(crate) fn new(app: Arc<App>, routes: Router) -> Self {
        Self { app: Some(app), routes }
    }

    /// For routes that share their origin with nothing that functions say.
    pub(crate) fn without_functions(routes: Router) -> Self {
        Self { app: None, routes }
    }
}

impl Service for Entrance {
    type Body = Either<skep_dispatch::Body, Body>;

    async fn answer(&self, peer: &Peer, mut request: Request<RequestBody>) -> Response<Self::Body> {
        if let Err(error) = settle_host(&mut request) {
            return error.into_response().map(Either::Right);
        }
        if let Some(app) = &self.app
            && function::is_call(request.uri().path())
        {
            return function::invoke(app, peer, request).await;
        }
        self.routes.answer(peer, request).await.map(Either::Right)
    }
}
