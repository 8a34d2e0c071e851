//! The path of one request, in every mode.

use std::{sync::Arc, time::Instant};

use http::{HeaderMap, Method, Request, StatusCode};
use skep_http::Body;
use skep_protocol::headers::{CALL_ID, SKEP_ERROR, SKEP_MARK};
use tokio_util::task::TaskTracker;

use crate::{
    answer::{Answer, InFlight, Source, refusal, text, too_many},
    files::Files,
    fork::Fork,
    health::Health,
    http::HttpMode,
    limit::Limit,
    log::Log,
    metrics::Metrics,
    redact::shown,
};

pub(crate) struct Watchdog {
    pub(crate) mode: Mode,
    pub(crate) health: Health,
    pub(crate) limit: Limit,
    /// Each call until the last byte of its answer.
    pub(crate) calls: TaskTracker,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) log: Log,
    pub(crate) debug_headers: bool,
}

pub(crate) enum Mode {
    Fork(Fork),
    Http(HttpMode),
    Static(Files),
}

impl Watchdog {
    pub(crate) async fn answer(&self, request: Request<Body>) -> Answer {
        let is_get = *request.method() == Method::GET;
        match request.uri().path() {
            "/_/health" | "/_/ready" if !is_get => not_allowed(),
            "/_/health" if self.health.is_good() => text(StatusCode::OK, "OK"),
            "/_/health" if self.health.accepts() => starting(),
            "/_/health" => closing(),
            "/_/ready" => self.readiness().await,
            _ => self.call(request).await,
        }
    }

    /// Opens its health when the program can take calls; an error says why it never will.
    pub(crate) async fn begin(&self) -> Result<(), String> {
        if let Mode::Http(http) = &self.mode {
            http.began().await?;
        }
        self.health.open(&self.log);
        Ok(())
    }

    async fn call(&self, mut request: Request<Body>) -> Answer {
        let begun = Instant::now();
        // Not for the function to see, which could speak in our name with it.
        let mark = request.headers_mut().remove(SKEP_MARK);
        let method = request.method().clone();
        let call_id = request.headers().get(CALL_ID).cloned();
        if self.debug_headers {
            self.log_headers(request.headers());
        }
        let running = (self.metrics.enter(), self.calls.token());
        let mut answer = match self.limit.enter().await {
            Err(_) => too_many(&self.limit),
            Ok(place) => {
                let mut answer = match &self.mode {
                    Mode::Fork(fork) => fork.call(request).await,
                    Mode::Http(http) => http.call(request).await,
                    Mode::Static(files) => files.call(request).await,
                };
                answer.body_mut().keep(InFlight { _place: place, _running: running.0, _call: running.1 });
                answer
            }
        };
        // No function can say this, see `relayed` and `cgi`.
        if let Some(mark) = mark.filter(|_| answer.headers().contains_key(SKEP_ERROR)) {
            answer.headers_mut().insert(SKEP_MARK, mark);
        }
        if let Some(call_id) = call_id {
            answer.headers_mut().entry(CALL_ID).or_insert(call_id);
        }
        self.metrics.count(&method, answer.status(), begun.elapsed());
        answer
    }

    async fn readiness(&self) -> Answer {
        if !self.health.accepts() {
            return closing();
        }
        if self.limit.is_full() {
            return too_many(&self.limit);
        }
        match &self.mode {
            Mode::Fork(_) | Mode::Static(_) => text(StatusCode::OK, "OK"),
            Mode::Http(http) => http.readiness().await,
        }
    }

    fn log_headers(&self, headers: &HeaderMap) {
        for (name, value) in headers {
            self.log.say(&format!("Header {}", shown(name, value)));
        }
    }
}

/// Also where a lock file is gone that somebody removed.
fn starting() -> Answer {
    refusal(StatusCode::SERVICE_UNAVAILABLE, "not_ready", Source::Classic, "the function is not ready\n")
}

fn closing() -> Answer {
    refusal(StatusCode::SERVICE_UNAVAILABLE, "closing", Source::Classic, "the watchdog does not take calls\n")
}

fn not_allowed() -> Answer {
    refusal(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", Source::Classic, "method not allowed\n")
}
