//! HTTP metrics of `/system` and `/async-function`, labelled by route template and never by raw path.
//!
//! Calls of functions are counted where they are made, in dispatch.

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::Method;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use tokio::time::Instant;

const LABELS: [&str; 3] = ["method", "path", "status"];
const REQUESTS: (&str, &str) = ("http_requests_total", "Requests of the system and async routes.");
const SECONDS: (&str, &str) =
    ("http_request_duration_seconds", "Seconds until a request of the system or async routes was answered.");

#[derive(Clone)]
pub(crate) struct HttpMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
}

impl HttpMetrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(Opts::new(REQUESTS.0, REQUESTS.1), &LABELS)?;
        let seconds = HistogramVec::new(HistogramOpts::new(SECONDS.0, SECONDS.1), &LABELS)?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self { requests, seconds })
    }
}

/// The layer that counts and times.
pub(crate) async fn count(State(metrics): State<HttpMetrics>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let status = response.status();
    let labels = [method, route.as_ref().map_or("", MatchedPath::as_str), status.as_str()];
    metrics.requests.with_label_values(&labels).inc();
    metrics.seconds.with_label_values(&labels).observe(started.elapsed().as_secs_f64());
    response
}

/// Callers can invent verbs, and labels must be few.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
