//! Where requests come in: synchronous calls go their own straight way, for they are most of what a gateway does; all else goes by the routes.

use std::sync::Arc;

use axum::{Router, body::Body, response::IntoResponse};
use http::{Request, Response};
use http_body_util::Either;
use skep_daemon::{Peer, RequestBody, Service};

use crate::{app::App, door::settle_host, function, rates::Rates};

#[derive(Clone)]
pub(crate) struct Entrance {
    /// Without it there are no functions here.
    app: Option<Arc<App>>,
    routes: Router,
    /// Without it nobody's requests are counted.
    rates: Option<Arc<Rates>>,
}

impl Entrance {
    pub(crate) fn new(app: Arc<App>, routes: Router, rates: Option<Arc<Rates>>) -> Self {
        Self { app: Some(app), routes, rates }
    }

    /// For routes that share their origin with nothing that functions say.
    pub(crate) fn without_functions(routes: Router, rates: Option<Arc<Rates>>) -> Self {
        Self { app: None, routes, rates }
    }
}

impl Service for Entrance {
    type Body = Either<skep_dispatch::Body, Body>;

    async fn answer(&self, peer: &Peer, mut request: Request<RequestBody>) -> Response<Self::Body> {
        if let Some(rates) = &self.rates
            && let Err(error) = rates.admit(peer, request.headers())
        {
            return error.into_response().map(Either::Right);
        }
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
