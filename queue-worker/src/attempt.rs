//! One attempt: the request to the function, and its outcome.

use std::{
    convert::Infallible,
    future,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header, response::Parts};
use skep_bus::NotKept;
use skep_dispatch::{Body, Error, Function, Taker, Unhurried};
use skep_protocol::{
    BodyKind, Call, CallBody, CallRecord, CallState, CallStatus, FunctionName, LastAttempt, PastAttempt, error_chain,
    headers, retry_after, without_credentials,
};
use skep_trace::{Context, Mark, Span};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};
use tracing::{Instrument, warn};

use crate::{
    Worker, body,
    decision::{Decision, Ended},
    spans,
};

/// A call that runs longer than this is announced, so that its state can be asked for.
const ANNOUNCE_DELAY: Duration = Duration::from_millis(100);

/// How one attempt ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The function answered, well or badly, or ran too long; its status and body are the result.
    Answered(Answer),
    /// No replica takes the call now.
    Busy,
    /// The function could not be reached, or broke off before its answer was complete.
    Failed { reason: String },
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: CallBody,
    /// What the platform has to say about it, if the function did not answer itself.
    pub(crate) reason: Option<String>,
}

impl Answer {
    pub(crate) fn is_good(&self) -> bool {
        self.status.as_u16() < 400 && self.reason.is_none()
    }
}

/// What is known of an attempt while it is made.
pub(crate) struct Attempt {
    /// Counted from 1.
    pub(crate) number: u64,
    /// How many there may be.
    pub(crate) most: u64,
    started_at: OffsetDateTime,
    started: Instant,
    taker: Taker,
    /// Its span in the trace of its call.
    span: Option<Arc<Span>>,
}

impl Outcome {
    pub(crate) fn ended(&self) -> Ended<'_> {
        match self {
            Self::Answered(answer) => Ended::Answered {
                status: answer.status.as_u16(),
                retry_after: retry_after(&answer.headers, OffsetDateTime::now_utc()),
            },
            Self::Busy => Ended::Busy,
            Self::Failed { reason } => Ended::Failed { reason },
        }
    }

    /// Whether a call that ends with it has succeeded: the function itself answered well.
    pub(crate) fn is_good(&self) -> bool {
        matches!(self, Self::Answered(answer) if answer.is_good())
    }

    /// The function's answer, if there is one.
    pub(crate) fn into_answer(self) -> Option<Answer> {
        match self {
            Self::Answered(answer) => Some(answer),
            Self::Busy | Self::Failed { .. } => None,
        }
    }

    /// What there is to say about an attempt that is followed by another one.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Answered(Answer { reason: Some(reason), .. }) | Self::Failed { reason } => reason.clone(),
            Self::Answered(answer) => format!("the function answered {}", answer.status.as_u16()),
            Self::Busy => "no replica was free".to_owned(),
        }
    }

    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Answered(answer) => Some(answer.status.as_u16()),
            Self::Busy | Self::Failed { .. } => None,
        }
    }
}

impl Attempt {
    pub(crate) fn begin(number: u64, most: u64) -> Self {
        let (started_at, started) = (skep_bus::now(), Instant::now());
        Self { number, most, started_at, started, taker: Taker::default(), span: None }
    }

    /// The same with a span.
    pub(crate) fn traced(self, span: Option<Arc<Span>>) -> Self {
        Self { span, ..self }
    }

    /// Where it belongs in a trace.
    pub(crate) fn trace(&self, call: &Call) -> Option<Context> {
        self.span.as_ref().map(|span| span.context()).or(call.trace.as_ref()).cloned()
    }

    /// Notes in its span what follows from it.
    pub(crate) fn decided(&self, decision: &Decision, outcome: &Outcome) {
        let Some(span) = &self.span else { return };
        let (what, wait) = match decision {
            Decision::Done if outcome.is_good() => ("succeeded", None),
            Decision::Done => ("failed", None),
            Decision::Dead(_) => ("dead", None),
            Decision::RetryAfter(wait) => ("retrying", Some(*wait)),
            Decision::WaitFor(_) => return,
        };
        if let "failed" | "dead" = what {
            span.fail();
        }
        let reason = (what != "succeeded").then(|| outcome.reason());
        let at = SystemTime::now();
        span.describe(move |description| {
            description.attributes.push(("skep.outcome", what.into()));
            description.error = reason.map(Into::into);
            let attributes = |wait: Duration| vec![("skep.retry.wait.seconds", wait.into())];
            description.marks.extend(wait.map(|wait| Mark { name: "retrying", at, attributes: attributes(wait) }));
        });
    }

    /// What the next attempt knows of this one, that ended with this outcome.
    pub(crate) fn before(&self, call: &Call, outcome: &Outcome, wait: Duration) -> LastAttempt {
        let next_at = skep_bus::now() + wait;
        let (number, status, reason) = (self.number, outcome.status(), outcome.reason());
        let mut past = call.last_attempt.as_ref().map(|last| last.past.clone()).unwrap_or_default();
        let this = PastAttempt {
            number,
            started_at: self.started_at,
            duration_seconds: self.started.elapsed().as_secs_f64(),
            replica: self.taker.replica(),
            status,
            reason: reason.clone(),
            next_at,
        };
        this.append_to(&mut past);
        LastAttempt { number, status, reason, next_at, past }
    }

    /// How long the call waited before it, if it is the first one. One that no replica took is no attempt, and a redriven call is as old as its dead letter.
    fn wait_before(&self, call: &Call, outcome: &Outcome) -> Option<Duration> {
        let is_first = self.number == 1 && call.history.is_empty() && !matches!(outcome, Outcome::Busy);
        is_first.then(|| call.age(self.started_at))
    }

    /// The record of a call that ends with this attempt.
    pub(crate) fn record(&self, call: &Call, state: CallState, answer: Option<Answer>) -> CallRecord {
        let status = CallStatus {
            state,
            status: answer.as_ref().map(|answer| answer.status.as_u16()),
            reason: answer.as_ref().and_then(|answer| answer.reason.clone()),
            finished_at: Some(skep_bus::now()),
            duration_seconds: Some(self.started.elapsed().as_secs_f64()),
            ..self.running(call)
        };
        let answer = answer.map(|answer| (answer.headers, answer.body));
        let (headers, body) = answer.unwrap_or_else(|| (HeaderMap::new(), CallBody::empty()));
        CallRecord { status, headers, body, returned: call.returned_headers() }
    }

    fn running(&self, call: &Call) -> CallStatus {
        CallStatus {
            state: CallState::Running,
            started_at: Some(self.started_at),
            replica: self.taker.replica(),
            attempts: self.number,
            max_attempts: Some(self.most),
            trace: self.trace(call),
            ..call.status()
        }
    }
}

impl Worker {
    pub(crate) async fn attempt(&self, function: &Arc<Function>, call: &Call, attempt: &Attempt) -> Outcome {
        let metrics = self.metrics.of(&call.function);
        let in_flight = metrics.begin();
        // Pinned here, because the span takes it by value.
        let called = pin!(self.call(function, call, attempt));
        let outcome = tokio::select! {
            outcome = called.instrument(spans::attempt(attempt.number)) => outcome,
            never = self.announce(call, attempt) => match never {},
        };
        drop(in_flight);
        if let Some(waited) = attempt.wait_before(call, &outcome) {
            let sampled = attempt.span.as_ref().and_then(|span| span.sampled_trace());
            metrics.observe_wait(waited, sampled);
        }
        if let Outcome::Failed { reason } = &outcome {
            warn!(reason, "a call could not be run");
        }
        outcome
    }

    async fn call(&self, function: &Arc<Function>, call: &Call, attempt: &Attempt) -> Outcome {
        let body = match body::streamed(&self.bus.bodies, &call.body).await {
            Ok(body) => body,
            Err(error) => return Outcome::Failed { reason: format!("its body cannot be read: {}", error.chain()) },
        };
        let request = match request(call, attempt, body) {
            Ok(request) => request,
            Err(error) => {
                return Outcome::Failed { reason: format!("the request cannot be built: {error}") };
            }
        };
        let response = match self.dispatch.call(function, request, attempt.span.as_ref()).await {
            Ok(response) => response,
            Err(error @ Error::TimedOut(_)) => {
                return Outcome::Answered(platform_answer(StatusCode::GATEWAY_TIMEOUT, error.to_string()));
            }
            Err(Error::NoReplica(_)) => return Outcome::Busy,
            Err(error) => return Outcome::Failed { reason: error_chain(&error) },
        };
        let (parts, body) = response.into_parts();
        if let Some(outcome) = of_platform(&function.name, &parts) {
            return outcome;
        }
        let limit = self.config.result_limit;
        // Boxed, because the compiler cannot show otherwise that a future over a boxed error is `Send`.
        let id = &call.call_id;
        let body = pin!(body::answered(body, function.idle_timeout()));
        match self.bus.bodies.keep(BodyKind::Result, id, limit, body).boxed().await {
            Ok(body) => Outcome::Answered(Answer { status: parts.status, headers: parts.headers, body, reason: None }),
            Err(NotKept::TooLarge) => {
                let setting = "the limit --async-result-limit (SKEP_ASYNC_RESULT_LIMIT)";
                let reason = format!("the answer is larger than {limit} bytes, {setting}, and was not kept");
                Outcome::Answered(platform_answer(parts.status, reason))
            }
            Err(NotKept::Broken(error)) => {
                Outcome::Failed { reason: format!("function {} broke off: {error}", function.name) }
            }
            Err(NotKept::Bus(error)) => {
                Outcome::Failed { reason: format!("the answer cannot be stored: {}", error.chain()) }
            }
        }
    }

    async fn announce(&self, call: &Call, attempt: &Attempt) -> Infallible {
        sleep(ANNOUNCE_DELAY).await;
        self.bus.workers.announce_running(&attempt.running(call)).await;
        future::pending().await
    }
}

/// What the watchdog says in the function's place: busy, or a failure that is not the function's own answer. A timeout counts as an answer.
fn of_platform(function: &FunctionName, parts: &Parts) -> Option<Outcome> {
    if !parts.headers.contains_key(headers::OPENFAAS_INTERNAL) {
        return None;
    }
    match parts.status {
        StatusCode::TOO_MANY_REQUESTS => Some(Outcome::Busy),
        StatusCode::GATEWAY_TIMEOUT => None,
        status if status.is_server_error() => {
            let code = parts.headers.get(headers::SKEP_ERROR).and_then(|code| code.to_str().ok()).unwrap_or("no code");
            Some(Outcome::Failed { reason: format!("function {function} failed in its watchdog: {code}") })
        }
        _ => None,
    }
}

fn platform_answer(status: StatusCode, reason: String) -> Answer {
    Answer { status, headers: HeaderMap::new(), body: CallBody::empty(), reason: Some(reason) }
}

/// The request as the contract has it: always `POST`, the stored headers, path and query.
fn request(call: &Call, attempt: &Attempt, body: Body) -> http::Result<Request<Body>> {
    let path = if call.path.is_empty() { "/" } else { &call.path };
    let target = match &call.query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut request = Request::post(target).body(body)?;
    let now = OffsetDateTime::now_utc().unix_timestamp_nanos().to_string();
    *request.headers_mut() = call.headers.clone();
    request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(call.body.length()));
    request.headers_mut().remove(header::EXPECT);
    request.headers_mut().insert(headers::CALL_ID, HeaderValue::from_str(call.call_id.as_str())?);
    request.headers_mut().append(headers::START_TIME, HeaderValue::from_str(&now)?);
    if let Some(callback) = &call.callback {
        // The function may know where its answer goes, but not the credentials for it.
        let shown = HeaderValue::try_from(without_credentials(callback.clone()).as_str())?;
        request.headers_mut().insert(headers::CALLBACK_URL, shown);
    }
    request.headers_mut().insert(headers::SKEP_ATTEMPT, HeaderValue::from(attempt.number));
    request.headers_mut().insert(headers::SKEP_ATTEMPTS, HeaderValue::from(attempt.most));
    request.extensions_mut().insert(attempt.taker.clone());
    request.extensions_mut().insert(Unhurried);
    // With a span, dispatch writes the context. An older gateway has left what the caller sent among its headers.
    if let (None, Some(trace)) = (&attempt.span, &call.trace) {
        trace.write(request.headers_mut());
    }
    Ok(request)
}

#[cfg(test)]
mod tests;
