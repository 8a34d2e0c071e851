//! The layers that every request passes, on the fast path and on the routes: one stack per connection.

use std::{convert::Infallible, sync::Arc};

use axum::response::IntoResponse;
use http::{Request, Response};
use skep_http::{Body, Peer};
use tower::{Service, ServiceBuilder, service_fn};
use tower_http::validate_request::ValidateRequestHeaderLayer;

use crate::{call_headers::settle_host, fast_path_router::FastPathRouter};

/// The service of the connection of one peer.
pub(crate) fn of_connection(
    router: &FastPathRouter,
    peer: Peer,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync + use<>
{
    // One count of references for each connection: no other core touches it while calls come and go.
    let connection = Arc::new((router.clone(), peer));
    let admitted = Arc::clone(&connection);
    #[expect(clippy::result_large_err, reason = "the trait wants the answer itself")]
    let check = move |request: &mut Request<Body>| check(&admitted, request);
    ServiceBuilder::new().layer(ValidateRequestHeaderLayer::custom(check)).service(service_fn(move |request| {
        let connection = Arc::clone(&connection);
        async move {
            let (router, peer) = &*connection;
            Ok(router.answer(peer, request).await)
        }
    }))
}

#[expect(clippy::result_large_err, reason = "the trait wants the answer itself")]
fn check((router, peer): &(FastPathRouter, Peer), request: &mut Request<Body>) -> Result<(), Response<Body>> {
    let checked = router.admit(peer, request.headers()).and_then(|()| settle_host(request));
    checked.map_err(|error| error.into_response().map(Body::new))
}

#[cfg(test)]
mod tests {
    use axum::{Extension, Router, routing::get};
    use http::StatusCode;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn handlers_know_the_peer_and_a_request_without_a_host_does_not_reach_them() {
        let handler = async |Extension(peer): Extension<Peer>| peer.ip.to_str().unwrap_or_default().to_owned();
        let router = FastPathRouter::without_functions(Router::new().route("/", get(handler)), None);
        let stack = of_connection(&router, Peer::new("10.0.0.7:4711".parse().unwrap(), false));
        let good = Request::get("/").header("host", "a").body(Body::empty()).unwrap();
        let answer = stack.clone().oneshot(good).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "10.0.0.7");
        let bad = stack.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
        assert_eq!(bad.headers()["x-skep-error"], "invalid_host");
    }
}
