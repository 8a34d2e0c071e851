//! What every request passes, whichever way it goes then: one stack of layers for each connection.

use std::{convert::Infallible, sync::Arc};

use axum::response::IntoResponse;
use http::{Request, Response};
use skep_http::{Body, Peer};
use tower::{Service, ServiceBuilder, service_fn};
use tower_http::validate_request::ValidateRequestHeaderLayer;

use crate::{door::settle_host, entrance::FastPathRouter};

/// The service of the connection of one peer.
pub(crate) fn of_connection(
    router: &FastPathRouter,
    peer: Peer,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync + use<>
{
    // One count of references for each connection: no other core touches it while calls come and go.
    let connection = Arc::new((router.clone(), peer));
    ServiceBuilder::new().layer(ValidateRequestHeaderLayer::custom(check_host)).service(service_fn(move |request| {
        let connection = Arc::clone(&connection);
        async move {
            let (router, peer) = &*connection;
            Ok(router.answer(peer, request).await)
        }
    }))
}

#[expect(clippy::result_large_err, reason = "the trait wants the answer itself")]
fn check_host(request: &mut Request<Body>) -> Result<(), Response<Body>> {
    settle_host(request).map_err(|error| error.into_response().map(Body::new))
}
