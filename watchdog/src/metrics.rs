//! The numbers on `/metrics`, by OpenFaaS's names.

use std::{sync::Arc, time::Duration};

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use prometheus::{Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

const REQUESTS: &str = "http_requests_total";
const REQUESTS_HELP: &str = "Calls that were answered.";
const DURATION: &str = "http_request_duration_seconds";
const DURATION_HELP: &str = "Seconds until the head of the answer.";
const IN_FLIGHT: &str = "http_requests_in_flight";
const IN_FLIGHT_HELP: &str = "Calls that are running.";
const LABELS: [&str; 2] = ["code", "method"];

#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    duration: HistogramVec,
    in_flight: IntGauge,
}

/// A call that is running, as long as it is kept.
pub(crate) struct Running<'a>(&'a IntGauge);

impl Metrics {
    pub(crate) fn new() -> prometheus::Result<Arc<Self>> {
        let registry = Registry::new();
        let requests = IntCounterVec::new(Opts::new(REQUESTS, REQUESTS_HELP), &LABELS)?;
        let duration = HistogramVec::new(HistogramOpts::new(DURATION, DURATION_HELP), &LABELS)?;
        let in_flight = IntGauge::new(IN_FLIGHT, IN_FLIGHT_HELP)?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        Ok(Arc::new(Self { registry, requests, duration, in_flight }))
    }

    pub(crate) fn enter(&self) -> Running<'_> {
        self.in_flight.inc();
        Running(&self.in_flight)
    }

    pub(crate) fn count(&self, method: &Method, status: StatusCode, took: Duration) {
        let labels = [status.as_str(), known(method)];
        self.requests.with_label_values(&labels).inc();
        self.duration.with_label_values(&labels).observe(took.as_secs_f64());
    }

    pub(crate) fn page<B>(&self, request: &Request<B>) -> Response<Full<bytes::Bytes>> {
        let mut response = Response::new(Full::default());
        let encoder = TextEncoder::new();
        let mut page = Vec::new();
        if request.uri().path() != "/metrics" {
            *response.status_mut() = StatusCode::NOT_FOUND;
        } else if encoder.encode(&self.registry.gather(), &mut page).is_err() {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        } else {
            *response.body_mut() = Full::new(page.into());
            if let Ok(value) = encoder.format_type().parse() {
                response.headers_mut().insert(header::CONTENT_TYPE, value);
            }
        }
        response
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Callers can make up methods; labels must not grow with them.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "get",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "HEAD" => "head",
        "OPTIONS" => "options",
        _ => "unknown",
    }
}
