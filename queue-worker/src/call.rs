//! One delivery of a call, from the permit to the ack.

use std::{convert::Infallible, future, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header, response::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use skep_bus::Delivery;
use skep_dispatch::{Body, Error, Function, full_body};
use skep_protocol::{CallRecord, CallState, CallStatus, Invocation, headers, without_credentials};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::{
    Worker,
    decision::{Answer, Decision, Outcome, decide},
};

/// A call that runs longer than this is announced, so that its state can be asked for.
const ANNOUNCE_AFTER: Duration = Duration::from_millis(100);
/// A function that is asleep is waited for as long as for a slot; then the call comes again.
const WAKE_WITHIN: Duration = Duration::from_secs(1);
/// How long the bus may be away before a delivery that has not begun is given back.
const BUS_AWAY: Duration = Duration::from_secs(2);
/// Room that a record needs beside the answer's body.
const RECORD_HEADERS: usize = 64 * 1024;

/// What an attempt needs to know of the ones before it.
struct Attempt {
    number: u64,
    started_at: OffsetDateTime,
    started: Instant,
}

impl Worker {
    /// Works a delivery off; it ends in exactly one ack or is given back.
    pub(crate) async fn run_delivery(self: Arc<Self>, delivery: Delivery<Invocation>) {
        match &delivery.content {
            Ok(invocation) => delivery.hold(self.run_call(&delivery, invocation)).await,
            Err(reason) => {
                let reason = format!("the message cannot be read: {reason}");
                self.bury_unreadable(&delivery, &reason).await;
            }
        }
    }

    async fn run_call(&self, delivery: &Delivery<Invocation>, invocation: &Invocation) {
        if !self.is_to_be_run(delivery, invocation).await {
            return;
        }
        let mut number = 1;
        loop {
            let Some(function) = self.dispatch.registry().get(&invocation.function) else {
                let reason = format!("function {} is not deployed", invocation.function);
                return self.bury_call(delivery, invocation, number - 1, &reason).await;
            };
            self.dispatch.wake(&function, WAKE_WITHIN).await;
            // A call that has begun stays here, so that its attempts are not forgotten.
            if number == 1 && self.slots.is_congested(&function) {
                return delivery.again_after(deferral(delivery.delivered)).await;
            }
            let slot = tokio::select! {
                slot = self.slots.acquire(&function) => slot,
                () = self.shutdown.cancelled() => return delivery.again_after(Duration::ZERO).await,
            };
            let Some(slot) = slot else {
                if number == 1 {
                    return delivery.again_after(deferral(delivery.delivered)).await;
                }
                continue;
            };
            // The slot may be one of a replica that came while we waited.
            let function = self.dispatch.registry().get(&invocation.function).unwrap_or(function);
            let attempt = Attempt { number, started_at: OffsetDateTime::now_utc(), started: Instant::now() };
            let outcome = self.attempt(&function, invocation, &attempt).await;
            drop(slot);
            match decide(outcome, number, self.config.attempts) {
                Decision::Done(answer) => {
                    return self.finish(delivery, invocation, &attempt, answer).await;
                }
                Decision::Dead { reason } => {
                    return self.bury_call(delivery, invocation, number, &reason).await;
                }
                Decision::Retry { after, is_attempt } => {
                    number += u64::from(is_attempt);
                    tokio::select! {
                        () = sleep(after) => {}
                        () = self.shutdown.cancelled() => return delivery.again_after(after).await,
                    }
                }
            }
        }
    }

    /// A delivery that is not the first, or an id that may have been used before, may have its result already; then the delivery is ended.
    async fn is_to_be_run(&self, delivery: &Delivery<Invocation>, invocation: &Invocation) -> bool {
        if !delivery.may_be_repeated && !invocation.has_callers_id {
            return true;
        }
        match self.bus.record(&invocation.call_id).await {
            Ok(None) => return true,
            Ok(Some(_)) => delivery.ack().await,
            Err(error) => {
                warn!(error = error.chain(), call_id = %invocation.call_id, "the record cannot be looked up");
                delivery.again_after(BUS_AWAY).await;
            }
        }
        false
    }

    async fn attempt(&self, function: &Function, invocation: &Invocation, attempt: &Attempt) -> Outcome {
        let in_flight = self.metrics.begin(&invocation.function);
        let outcome = tokio::select! {
            outcome = self.call(function, invocation, attempt) => outcome,
            never = self.announce(invocation, attempt) => match never {},
        };
        drop(in_flight);
        if let Outcome::Failed { reason } = &outcome {
            warn!(call_id = %invocation.call_id, function = %function.name, attempt = attempt.number, reason, "a call could not be run");
        }
        outcome
    }

    async fn call(&self, function: &Function, invocation: &Invocation, attempt: &Attempt) -> Outcome {
        let request = match request(invocation, attempt.number) {
            Ok(request) => request,
            Err(error) => {
                return Outcome::Failed { reason: format!("the request cannot be built: {error}") };
            }
        };
        let response = match self.dispatch.call(function, request).await {
            Ok(response) => response,
            Err(error @ Error::TimedOut(_)) => {
                return Outcome::Answered(platform_answer(StatusCode::GATEWAY_TIMEOUT, error.to_string()));
            }
            Err(error) => {
                return Outcome::Failed { reason: with_cause(&error) };
            }
        };
        let (parts, body) = response.into_parts();
        if let Some(outcome) = of_platform(function, &parts) {
            return outcome;
        }
        let limit = self.bus.largest_message().saturating_sub(invocation_size(invocation) + RECORD_HEADERS);
        // Boxed, because the compiler cannot show otherwise that a future over a boxed error is `Send`.
        match Limited::new(body, limit).collect().boxed().await {
            Ok(body) => Outcome::Answered(Answer {
                status: parts.status,
                headers: parts.headers,
                body: body.to_bytes(),
                reason: None,
            }),
            Err(error) if error.is::<LengthLimitError>() => Outcome::Answered(Answer {
                body: Bytes::new(),
                ..platform_answer(parts.status, format!("the answer is larger than {limit} bytes and was not kept"))
            }),
            Err(error) => Outcome::Failed { reason: format!("function {} broke off: {error}", function.name) },
        }
    }

    async fn announce(&self, invocation: &Invocation, attempt: &Attempt) -> Infallible {
        sleep(ANNOUNCE_AFTER).await;
        let status = CallStatus {
            state: CallState::Running,
            started_at: Some(attempt.started_at),
            attempts: attempt.number,
            ..invocation.status()
        };
        self.running.announce(&status).await;
        future::pending().await
    }

    async fn finish(
        &self,
        delivery: &Delivery<Invocation>,
        invocation: &Invocation,
        attempt: &Attempt,
        answer: Answer,
    ) {
        let failed = answer.status.is_client_error() || answer.status.is_server_error() || answer.reason.is_some();
        let record = CallRecord {
            status: CallStatus {
                state: if failed { CallState::Failed } else { CallState::Succeeded },
                status: Some(answer.status.as_u16()),
                attempts: attempt.number,
                started_at: Some(attempt.started_at),
                finished_at: Some(OffsetDateTime::now_utc()),
                duration_seconds: Some(attempt.started.elapsed().as_secs_f64()),
                reason: answer.reason,
                ..invocation.status()
            },
            headers: answer.headers,
            body: answer.body,
            returned: invocation.returned_headers(),
        };
        self.store_record(&record).await;
        self.metrics.count_finished(&record.status);
        delivery.ack().await;
    }

    /// Stores a record, however long the bus is away: the result exists nowhere else.
    pub(crate) async fn store_record(&self, record: &CallRecord) {
        let mut pause = Duration::from_millis(100);
        loop {
            let error = match self.bus.store_record(record).await {
                Ok(stored) => {
                    if stored == skep_bus::Submitted::Duplicate {
                        info!(call_id = %record.status.call_id, "this call has its record already; the first one stays");
                    }
                    return;
                }
                Err(error) => error,
            };
            warn!(error = error.chain(), call_id = %record.status.call_id, "the record cannot be stored; trying again");
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }
}

/// How long a call that found no free replica stays away: longer each time, so that a deep backlog costs little, and at most about ten seconds.
fn deferral(delivered: u64) -> Duration {
    let base = Duration::from_millis(500).saturating_mul(1 << delivered.min(4));
    base.mul_f64(0.75 + fastrand::f64() / 2.0)
}

/// What the watchdog says in the function's place: busy, or a failure that is not the function's own answer. A time-out is final.
fn of_platform(function: &Function, parts: &Parts) -> Option<Outcome> {
    if !parts.headers.contains_key(headers::OPENFAAS_INTERNAL) {
        return None;
    }
    match parts.status {
        StatusCode::TOO_MANY_REQUESTS => Some(Outcome::Busy),
        StatusCode::GATEWAY_TIMEOUT => None,
        status if status.is_server_error() => {
            let code = parts.headers.get(headers::SKEP_ERROR).and_then(|code| code.to_str().ok()).unwrap_or("no code");
            Some(Outcome::Failed { reason: format!("function {} failed in its watchdog: {code}", function.name) })
        }
        _ => None,
    }
}

fn platform_answer(status: StatusCode, reason: String) -> Answer {
    Answer { status, headers: HeaderMap::new(), body: Bytes::new(), reason: Some(reason) }
}

fn invocation_size(invocation: &Invocation) -> usize {
    invocation.callback.as_ref().map_or(0, |url| url.as_str().len())
}

/// The request as the contract has it: always `POST`, the stored headers, path and query.
fn request(invocation: &Invocation, attempt: u64) -> http::Result<Request<Body>> {
    let path = if invocation.path.is_empty() { "/" } else { &invocation.path };
    let target = match &invocation.query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut request = Request::post(target).body(full_body(invocation.body.clone()))?;
    let now = OffsetDateTime::now_utc().unix_timestamp_nanos().to_string();
    *request.headers_mut() = invocation.headers.clone();
    // The body is all there, so its length is known and said by the client.
    request.headers_mut().remove(header::CONTENT_LENGTH);
    request.headers_mut().remove(header::EXPECT);
    request.headers_mut().insert(headers::CALL_ID, HeaderValue::from_str(invocation.call_id.as_str())?);
    request.headers_mut().append(headers::START_TIME, HeaderValue::from_str(&now)?);
    if let Some(callback) = &invocation.callback {
        // The function may know where its answer goes, but not the credentials for it.
        let shown = HeaderValue::try_from(without_credentials(callback.clone()).as_str())?;
        request.headers_mut().insert(headers::CALLBACK_URL, shown);
    }
    request.headers_mut().insert(headers::SKEP_ATTEMPT, HeaderValue::from(attempt));
    Ok(request)
}

/// An error with its direct cause, for the reason that is kept.
fn with_cause(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
