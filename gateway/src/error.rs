//! All error answers of the gateway.

use std::{net::IpAddr, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use skep_protocol::{CallId, CallIdError, FunctionName, NameError, SourceName, error_chain, headers};
use thiserror::Error;
use tracing::{debug, error, warn};

use crate::{images::ImagesError, outage, pages::NOSNIFF};

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("path is not valid")]
    InvalidPath,
    #[error("error finding function {0}: not deployed")]
    UnknownFunction(FunctionName),
    #[error("function {0} has no canary")]
    NoCanary(FunctionName),
    #[error("namespace {0:?} not found")]
    UnknownNamespace(String),
    #[error("no function is deployed for intent {0:?}")]
    UnknownIntent(String),
    #[error(transparent)]
    Call(#[from] skep_dispatch::Error),
    #[error(transparent)]
    Bus(#[from] skep_bus::Error),
    #[error("the connection to NATS is down")]
    Disconnected,
    #[error("NATS did not answer within {0:?}")]
    SlowBus(Duration),
    #[error("body is larger than {limit} bytes, {origin}")]
    BodyTooLarge { limit: u64, origin: &'static str },
    #[error("nothing of the body came within {0:?}")]
    SlowBody(Duration),
    #[error("the request body broke off")]
    BrokenBody,
    #[error("function {function} takes no more calls now: {reason}")]
    TooManyWait { function: FunctionName, reason: String, age: Duration },
    #[error("{0}")]
    InvalidCallbackUrl(String),
    #[error("the request does not say which host it is for: {0}")]
    InvalidHost(&'static str),
    #[error(transparent)]
    InvalidCallId(#[from] CallIdError),
    #[error("call {0} not found")]
    UnknownCall(CallId),
    #[error("call {0} is no longer kept")]
    CallExpired(CallId),
    #[error("call {id} has no result: {reason}")]
    NoResult { id: CallId, reason: String },
    #[error("call {0} has no dead letter of this kind")]
    UnknownDeadLetter(CallId),
    #[error("the dead letter of call {id} cannot be redriven: {reason}")]
    NotRedriven { id: CallId, reason: String },
    #[error("call {id} has ended already: {state}")]
    CallEnded { id: CallId, state: &'static str },
    #[error("malformed JSON at line {line} column {column}: {reason}")]
    MalformedJson { line: usize, column: usize, reason: String },
    #[error("{0}")]
    InvalidRequest(String),
    #[error(
        "say which function to call: POST / with the header X-Function: NAME, or POST /function/NAME (GET / shows more)"
    )]
    NoFunctionNamed,
    #[error("too many alerts are being handled")]
    TooManyAlerts,
    #[error("{0} callers already follow calls or logs, which is the limit (--max-followers)")]
    TooManyFollowers(usize),
    #[error("{0} pages and programs already follow the figures of this installation, which is the limit")]
    TooManyWatchers(usize),
    #[error("{0} callers already wait for calls to end, which is the limit (--max-waiters)")]
    TooManyWaiters(usize),
    #[error("{limit} {whose} are in flight at this gateway, which is the limit ({setting})")]
    TooManyInFlight { whose: String, limit: usize, setting: &'static str },
    #[error("{address} sends more than {limit} requests per second, which is the limit (--max-requests-per-address)")]
    TooManyRequests { address: IpAddr, limit: u32, wait: Duration },
    #[error("{bytes} bytes wait in the queue, and --queue-bytes permits {limit}")]
    QueueFull { bytes: u64, limit: u64 },
    #[error("this gateway keeps no audit log: start it with --audit-log-ttl 90d (SKEP_AUDIT_LOG_TTL)")]
    NoAuditLog,
    #[error(transparent)]
    Images(#[from] ImagesError),
    #[error("another audit is running")]
    AuditUnderWay,
    #[error("an internal task did not finish")]
    Ended(#[source] tokio::task::JoinError),
    #[error("invalid credentials")]
    Unauthorized,
    #[error(
        "the request comes from a web page of another site: only programs and this gateway's own pages may send it"
    )]
    CrossSite,
    #[error(
        "host {0:?} is not allowed here: use localhost or the address that the gateway listens on, or name it with --allowed-hosts (SKEP_ALLOWED_HOSTS)"
    )]
    HostNotAllowed(String),
    #[error("callbacks may not go here: use skep://NAME to call a function")]
    IsCallback,
    #[error("{0}")]
    Forbidden(String),
    #[error("too many logins from this address have failed; try again in {0:?}")]
    TooManyFailures(Duration),
    #[error("route not found")]
    RouteNotFound,
    #[error("preset {0:?} is not known: skep sources presets (GET /system/presets) lists those that are{1}")]
    UnknownPreset(String, String),
    #[error("there is no source of this name")]
    UnknownSource,
    #[error("event {0} not found")]
    UnknownEvent(String),
    #[error("source has no sample {0}")]
    UnknownSample(String),
    #[error("this source no longer accepts events")]
    SourceGone,
    #[error("source {0} cannot accept events: its declaration is not valid for this version")]
    SourceUnusable(SourceName),
    #[error("this address may not send events here")]
    AddressNotAllowed,
    #[error("too many requests from this address could not be verified")]
    TooManyRefused(Duration),
    #[error("too many large requests wait to be verified")]
    TooManyUnverified,
    #[error("the event could not be verified")]
    UnverifiedEvent,
    #[error("source {source_name} accepts no more events now (its rate)")]
    TooManyEvents { source_name: SourceName, wait: Duration },
    #[error("method is not allowed here")]
    MethodNotAllowed,
    #[error("the answer of function {function} is larger than {limit} bytes, the server's max_payload")]
    AnswerTooLarge { function: FunctionName, limit: usize },
    #[error("the answer of function {0} broke off")]
    BrokenAnswer(FunctionName),
}

const BUS_UNAVAILABLE: &str = "bus_unavailable";

/// Nobody is asked to stay away for longer, in seconds.
const MAX_RETRY_AFTER: u64 = 60;

impl Error {
    /// The HTTP status, and the short code of `X-Skep-Error`.
    #[expect(clippy::too_many_lines, reason = "a table with one line per error")]
    pub(crate) fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Name(NameError::Empty) => (StatusCode::NOT_FOUND, "no_function_name"),
            Self::Name(_) => (StatusCode::BAD_REQUEST, "invalid_name"),
            Self::NoCanary(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::UnknownNamespace(_) => (StatusCode::NOT_FOUND, "unknown_namespace"),
            Self::InvalidPath => (StatusCode::BAD_REQUEST, "invalid_path"),
            Self::UnknownFunction(_) => (StatusCode::NOT_FOUND, "unknown_function"),
            Self::UnknownIntent(_) => (StatusCode::NOT_FOUND, "unknown_function"),
            Self::Call(error) => status_of_call(error),
            Self::Bus(error) => status_of_bus(error),
            Self::Disconnected | Self::SlowBus(_) => (StatusCode::SERVICE_UNAVAILABLE, BUS_UNAVAILABLE),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::SlowBody(_) => (StatusCode::REQUEST_TIMEOUT, "slow_body"),
            Self::BrokenBody => (StatusCode::BAD_REQUEST, "broken_body"),
            Self::TooManyWait { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_wait"),
            Self::InvalidCallbackUrl(_) => (StatusCode::BAD_REQUEST, "invalid_callback_url"),
            Self::InvalidHost(_) => (StatusCode::BAD_REQUEST, "invalid_host"),
            Self::InvalidCallId(_) => (StatusCode::BAD_REQUEST, "invalid_call_id"),
            Self::UnknownCall(_) => (StatusCode::NOT_FOUND, "unknown_call"),
            Self::CallExpired(_) => (StatusCode::GONE, "call_expired"),
            Self::NoResult { .. } => (StatusCode::CONFLICT, "no_result"),
            Self::UnknownDeadLetter(_) => (StatusCode::NOT_FOUND, "unknown_letter"),
            Self::NotRedriven { .. } => (StatusCode::CONFLICT, "not_redriven"),
            Self::CallEnded { .. } => (StatusCode::CONFLICT, "call_ended"),
            Self::MalformedJson { .. } => (StatusCode::BAD_REQUEST, "malformed_json"),
            Self::InvalidRequest(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::NoFunctionNamed => (StatusCode::BAD_REQUEST, "no_function_named"),
            Self::TooManyAlerts => (StatusCode::SERVICE_UNAVAILABLE, "too_many_alerts"),
            Self::TooManyFollowers(_) => (StatusCode::SERVICE_UNAVAILABLE, "too_many_followers"),
            Self::TooManyWatchers(_) => (StatusCode::SERVICE_UNAVAILABLE, "too_many_watchers"),
            Self::TooManyWaiters(_) => (StatusCode::SERVICE_UNAVAILABLE, "too_many_waiters"),
            Self::TooManyInFlight { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_in_flight"),
            Self::TooManyRequests { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            Self::QueueFull { .. } => (StatusCode::SERVICE_UNAVAILABLE, "queue_full"),
            Self::NoAuditLog => (StatusCode::NOT_FOUND, "no_audit_log"),
            Self::Images(error) => error.status(),
            Self::AuditUnderWay => (StatusCode::SERVICE_UNAVAILABLE, "audit_under_way"),
            Self::Ended(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::CrossSite => (StatusCode::FORBIDDEN, "cross_site"),
            Self::HostNotAllowed(_) => (StatusCode::FORBIDDEN, "host_not_allowed"),
            Self::IsCallback => (StatusCode::FORBIDDEN, "callback_refused"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::TooManyFailures(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_failures"),
            Self::UnknownPreset(..) => (StatusCode::NOT_FOUND, "unknown_preset"),
            Self::UnknownSource => (StatusCode::NOT_FOUND, "unknown_source"),
            Self::UnknownEvent(_) => (StatusCode::NOT_FOUND, "unknown_event"),
            Self::UnknownSample(_) => (StatusCode::NOT_FOUND, "unknown_sample"),
            Self::SourceGone => (StatusCode::GONE, "source_gone"),
            Self::SourceUnusable(_) => (StatusCode::SERVICE_UNAVAILABLE, "source_unusable"),
            Self::AddressNotAllowed => (StatusCode::FORBIDDEN, "address_not_allowed"),
            Self::TooManyRefused(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_refused"),
            Self::TooManyUnverified => (StatusCode::SERVICE_UNAVAILABLE, "too_many_unverified"),
            Self::UnverifiedEvent => (StatusCode::UNAUTHORIZED, "unverified_event"),
            Self::TooManyEvents { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_events"),
            Self::RouteNotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "not_allowed"),
            Self::AnswerTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "answer_too_large"),
            Self::BrokenAnswer(_) => (StatusCode::BAD_GATEWAY, "broken"),
        }
    }

    /// What the caller learns, on one line; nothing of an internal error.
    pub(crate) fn reason(&self) -> String {
        match self {
            _ if self.status().0 == StatusCode::INTERNAL_SERVER_ERROR => "internal error".to_owned(),
            Self::Bus(skep_bus::Error::TooLarge { limit }) => {
                format!("body and headers are larger than {limit} bytes, the max_payload of NATS")
            }
            other => other.to_string().replace(['\r', '\n'], " "),
        }
    }

    /// The headers that tell the platform's answer from a function's.
    pub(crate) fn headers(&self) -> HeaderMap {
        let (status, code) = self.status();
        let mut answer = HeaderMap::new();
        if let Self::TooManyWait { age, .. } = self {
            // What waits now is likely to be gone after as long again.
            answer.insert(header::RETRY_AFTER, HeaderValue::from(age.as_secs().clamp(1, MAX_RETRY_AFTER)));
        }
        if let Self::TooManyFailures(pause)
        | Self::TooManyRefused(pause)
        | Self::TooManyEvents { wait: pause, .. }
        | Self::TooManyRequests { wait: pause, .. } = self
        {
            answer.insert(header::RETRY_AFTER, HeaderValue::from(pause.as_secs() + 1));
        }
        let mut set = |name: HeaderName, value: &'static str| answer.insert(name, HeaderValue::from_static(value));
        set(headers::SKEP_ERROR, code);
        set(headers::OPENFAAS_INTERNAL, "gateway");
        match status {
            StatusCode::SERVICE_UNAVAILABLE => set(header::RETRY_AFTER, "1"),
            StatusCode::TOO_MANY_REQUESTS if matches!(self, Self::TooManyInFlight { .. }) => {
                set(header::RETRY_AFTER, "1")
            }
            StatusCode::UNAUTHORIZED if matches!(self, Self::Unauthorized) => {
                set(header::WWW_AUTHENTICATE, r#"Basic realm="Restricted""#)
            }
            _ => None,
        };
        answer
    }

    /// Logs the cause, once, where the answer is made; a caller's own mistakes are not logged.
    pub(crate) fn log(&self) {
        let (status, code) = self.status();
        let causes = error_chain(self);
        match status {
            StatusCode::INTERNAL_SERVER_ERROR => error!(error = causes, code, "request failed"),
            _ if code == BUS_UNAVAILABLE => outage::refused(&causes, code),
            _ if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
                warn!(error = causes, code, "request could not be served")
            }
            _ => debug!(error = causes, code, "request was refused"),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.log();
        let nosniff = [(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF)];
        (self.status().0, self.headers(), nosniff, self.reason() + "\n").into_response()
    }
}

fn status_of_call(error: &skep_dispatch::Error) -> (StatusCode, &'static str) {
    match error {
        skep_dispatch::Error::NoReplica(_) => (StatusCode::SERVICE_UNAVAILABLE, "no_replica"),
        skep_dispatch::Error::TooManyHeld(_) => (StatusCode::SERVICE_UNAVAILABLE, "too_many_held"),
        skep_dispatch::Error::Unreachable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "unreachable"),
        skep_dispatch::Error::Broken { .. } => (StatusCode::BAD_GATEWAY, "broken"),
        skep_dispatch::Error::TimedOut(_) => (StatusCode::GATEWAY_TIMEOUT, "timed_out"),
        skep_dispatch::Error::RequestBody(_) => (StatusCode::BAD_REQUEST, "broken_body"),
    }
}

fn status_of_bus(error: &skep_bus::Error) -> (StatusCode, &'static str) {
    match error {
        skep_bus::Error::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, BUS_UNAVAILABLE),
        skep_bus::Error::Full(_) => (StatusCode::SERVICE_UNAVAILABLE, "queue_full"),
        skep_bus::Error::NoController | skep_bus::Error::NotController => {
            (StatusCode::SERVICE_UNAVAILABLE, "no_controller")
        }
        skep_bus::Error::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
        skep_bus::Error::HeadersTooLarge(_) => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large"),
        skep_bus::Error::IdInUse(_) => (StatusCode::UNPROCESSABLE_ENTITY, "call_id_in_use"),
        skep_bus::Error::Refused { status, .. } => status_of_refusal(*status),
        skep_bus::Error::ServerTooOld { .. }
        | skep_bus::Error::Connect { .. }
        | skep_bus::Error::Differs { .. }
        | skep_bus::Error::Rejected(_)
        | skep_bus::Error::Unreadable { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

/// The controller's own status; one that is no error cannot be passed on.
fn status_of_refusal(status: u16) -> (StatusCode, &'static str) {
    match StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR) {
        StatusCode::BAD_REQUEST => (StatusCode::BAD_REQUEST, "invalid_request"),
        StatusCode::NOT_FOUND => (StatusCode::NOT_FOUND, "not_found"),
        StatusCode::CONFLICT => (StatusCode::CONFLICT, "conflict"),
        StatusCode::SERVICE_UNAVAILABLE => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        other if other.is_client_error() || other == StatusCode::NOT_IMPLEMENTED => (other, "refused"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_error_says_that_it_is_one() {
        let error = Error::from(skep_dispatch::Error::NoReplica("figlet".parse().unwrap()));
        let response = error.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        for (name, value) in [("x-skep-error", "no_replica"), ("x-openfaas-internal", "gateway"), ("retry-after", "1")]
        {
            assert_eq!(response.headers()[name], value, "{name}");
        }
    }

    #[test]
    fn an_internal_error_tells_the_caller_nothing() {
        let refused = |status| Error::from(skep_bus::Error::Refused { status, message: "disk\nfull".to_owned() });
        assert_eq!(refused(409).status(), (StatusCode::CONFLICT, "conflict"));
        assert_eq!(refused(409).reason(), "disk full");
        for status in [0, 200, 500, 999] {
            assert_eq!(refused(status).status().0, StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(refused(status).reason(), "internal error");
        }
    }
}
