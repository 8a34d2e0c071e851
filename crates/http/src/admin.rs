//! The admin port: `/metrics`, `/healthz` (the process lives) and `/readyz` (it should get work).

mod accept;

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header};
use prometheus::Registry;
use tracing::error;

use crate::Readiness;

/// What a role serves on its admin listener.
pub fn admin_router(metrics: Registry, readiness: Readiness) -> Router {
    Router::new()
        .route("/metrics", get(async move |headers: HeaderMap| metrics_page(&metrics, &headers)))
        .route("/healthz", get(async || "OK"))
        .route("/readyz", get(async move || readyz(&readiness)))
}

/// All metrics: in the format of OpenMetrics for those who ask for it (`Accept`), else in the text format of Prometheus.
pub fn metrics_page(metrics: &Registry, headers: &HeaderMap) -> Response {
    if accept::wants_openmetrics(headers) {
        let kind = [(header::CONTENT_TYPE, skep_metrics::OPENMETRICS)];
        return (kind, skep_metrics::openmetrics(metrics)).into_response();
    }
    match skep_metrics::plain(metrics) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            error!(%error, "metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn readyz(readiness: &Readiness) -> (StatusCode, String) {
    if readiness.is_ready() {
        return (StatusCode::OK, "OK".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}", readiness.waiting_for().join(", ")))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use http::Request;
    use prometheus::IntCounter;
    use tower::ServiceExt;

    use super::*;

    async fn check(router: &Router, path: &str, expected: StatusCode, contains: &str) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), expected, "{path}");
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        assert!(String::from_utf8_lossy(&body).contains(contains), "{path}: {body:?}");
    }

    #[tokio::test]
    async fn the_admin_port_tells_metrics_health_and_readiness() {
        let metrics = Registry::new();
        let counter = IntCounter::new("bees", "Bees seen.").unwrap();
        metrics.register(Box::new(counter.clone())).unwrap();
        counter.inc();
        let readiness = Readiness::default();
        let gateway = readiness.role("gateway");
        let router = admin_router(metrics, readiness);
        check(&router, "/metrics", StatusCode::OK, "bees 1").await;
        check(&router, "/healthz", StatusCode::OK, "OK").await;
        check(&router, "/readyz", StatusCode::SERVICE_UNAVAILABLE, "gateway").await;
        gateway.ready();
        check(&router, "/readyz", StatusCode::OK, "OK").await;
    }
}
