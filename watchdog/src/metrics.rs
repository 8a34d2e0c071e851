//! The numbers on `/metrics`, by OpenFaaS's names.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};
use skep_protocol::{status_label, status_of_class};

const REQUESTS: &str = "http_requests_total";
const REQUESTS_HELP: &str = "Calls that were answered.";
const DURATION: &str = "http_request_duration_seconds";
const DURATION_HELP: &str = "Seconds until the head of the answer.";
const IN_FLIGHT: &str = "http_requests_in_flight";
const IN_FLIGHT_HELP: &str = "Calls that are running.";
const LABELS: [&str; 2] = ["code", "method"];
const WAITING: &str = "skep_watchdog_waiting_processes";
const WAITING_HELP: &str = "Processes that were started beforehand and wait for a request.";
const START: &str = "skep_watchdog_process_start_seconds";
const START_HELP: &str = "Seconds that starting a process took, until its program was loaded.";
const KILLS: &str = "skep_watchdog_kills_total";
const KILLS_HELP: &str = "Process trees that were killed, by the reason.";
/// Statuses that have figures of their own; further ones count for their class, because each is a histogram.
const MAX_CODES: usize = 16;
/// Half a millisecond is usual.
const START_BUCKETS: [f64; 10] = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5];

#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    duration: HistogramVec,
    in_flight: IntGauge,
    waiting: IntGauge,
    start: Histogram,
    kills: [IntCounter; Kill::ALL.len()],
    codes: Codes,
}

/// The first statuses that were answered; 0 is a free place.
#[derive(Debug, Default)]
struct Codes([AtomicU16; MAX_CODES]);

impl Codes {
    /// The status itself, if it is registered and among the first ones, or else one that stands for its class.
    fn folded(&self, status: StatusCode) -> StatusCode {
        let code = status.as_u16();
        if status.canonical_reason().is_none() {
            return status_of_class(status);
        }
        let is_kept = self.0.iter().any(|place| {
            let taken = match place.load(Ordering::Relaxed) {
                0 => {
                    place.compare_exchange(0, code, Ordering::Relaxed, Ordering::Relaxed).unwrap_or_else(|other| other)
                }
                taken => taken,
            };
            // It was free, or it has this status.
            taken == 0 || taken == code
        });
        if is_kept { status } else { status_of_class(status) }
    }
}

/// Why a process tree was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kill {
    /// The call took too long.
    Timeout,
    /// Nobody waits for the answer any more.
    CallerGone,
    /// The request's body broke off.
    BrokenBody,
    /// Its output could not be an answer.
    BadOutput,
    /// Its pipes broke.
    Lost,
    /// It held the output open after the process itself had ended.
    Leftover,
    /// It was started beforehand and not needed, or did not wait for a request.
    Unused,
    /// The program of the http mode was to end, or left processes when it ended.
    Program,
}

/// A call that is running, as long as it is kept.
#[derive(Debug)]
pub(crate) struct Running(IntGauge);

impl Metrics {
    pub(crate) fn new() -> prometheus::Result<Arc<Self>> {
        let registry = Registry::new();
        let requests = IntCounterVec::new(Opts::new(REQUESTS, REQUESTS_HELP), &LABELS)?;
        let duration = HistogramVec::new(HistogramOpts::new(DURATION, DURATION_HELP), &LABELS)?;
        let in_flight = IntGauge::new(IN_FLIGHT, IN_FLIGHT_HELP)?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        let waiting = IntGauge::new(WAITING, WAITING_HELP)?;
        let start = Histogram::with_opts(HistogramOpts::new(START, START_HELP).buckets(START_BUCKETS.to_vec()))?;
        let kills = IntCounterVec::new(Opts::new(KILLS, KILLS_HELP), &["reason"])?;
        registry.register(Box::new(waiting.clone()))?;
        registry.register(Box::new(start.clone()))?;
        registry.register(Box::new(kills.clone()))?;
        let kills = Kill::ALL.map(|kill| kills.with_label_values(&[kill.name()]));
        Ok(Arc::new(Self { registry, requests, duration, in_flight, waiting, start, kills, codes: Codes::default() }))
    }

    pub(crate) fn enter(&self) -> Running {
        self.in_flight.inc();
        Running(self.in_flight.clone())
    }

    /// How many processes wait for a request.
    pub(crate) fn set_waiting(&self, processes: usize) {
        self.waiting.set(i64::try_from(processes).unwrap_or(i64::MAX));
    }

    pub(crate) fn count_start(&self, took: Duration) {
        self.start.observe(took.as_secs_f64());
    }

    pub(crate) fn count_kill(&self, reason: Kill) {
        if let Some(counter) = self.kills.get(reason as usize) {
            counter.inc();
        }
    }

    pub(crate) fn count(&self, method: &Method, status: StatusCode, took: Duration) {
        let status = self.codes.folded(status);
        let labels = [status_label(&status), known(method)];
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

impl Kill {
    const ALL: [Self; 8] = [
        Self::Timeout,
        Self::CallerGone,
        Self::BrokenBody,
        Self::BadOutput,
        Self::Lost,
        Self::Leftover,
        Self::Unused,
        Self::Program,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::CallerGone => "caller_gone",
            Self::BrokenBody => "broken_body",
            Self::BadOutput => "bad_output",
            Self::Lost => "lost",
            Self::Leftover => "leftover",
            Self::Unused => "unused",
            Self::Program => "program",
        }
    }
}

impl Drop for Running {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_makes_few_series_whatever_it_answers() {
        let metrics = Metrics::new().unwrap();
        let series = || metrics.registry.gather().iter().map(|family| family.get_metric().len()).sum::<usize>();
        let at_rest = series();
        for code in (100..1000).rev().chain(100..1000) {
            metrics.count(&Method::GET, StatusCode::from_u16(code).unwrap(), Duration::ZERO);
        }
        // Of each label a counter and a histogram.
        let most = 2 * (MAX_CODES + 6);
        assert!(series() - at_rest <= most, "{}", series() - at_rest);
        let families = metrics.registry.gather();
        let requests = families.iter().find(|family| family.name() == REQUESTS).unwrap();
        let answered: f64 = requests.get_metric().iter().map(|one| one.get_counter().get_value()).sum();
        assert!((answered - 1800.0).abs() < 0.1, "{answered}");
    }

    #[test]
    fn the_first_statuses_keep_their_own_labels() {
        let codes = Codes::default();
        let labels = |range: std::ops::Range<u16>| {
            range.map(|code| codes.folded(StatusCode::from_u16(code).unwrap()).as_u16()).collect::<Vec<_>>()
        };
        assert_eq!(labels(420..421), [499], "it is not registered, so it takes no place");
        assert_eq!(labels(400..416), (400..416).collect::<Vec<_>>());
        assert_eq!(labels(416..418), [499, 499]);
        assert_eq!(labels(404..405), [404]);
    }
}
