//! `/system/calls`: what became of an asynchronous call.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::State,
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use skep_bus::{Bodies, CallFilter, Cancelled, Position};
use skep_protocol::{
    CallDetails, CallId, CallRecord, CallState, CallStatus, Fingerprint, headers::SKEP_ERROR, parse_duration,
    parse_past, without_credentials,
};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{
    Error, Result, Routes,
    app::App,
    input::{Queried, Segment},
    pages,
};

pub(crate) const MAX_WAIT: Duration = Duration::from_secs(300);
/// How long the last check after a wait may take.
const LAST_CHECK_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) fn routes() -> Routes {
    vec![
        ("/system/calls", get(list)),
        ("/system/calls/{id}", get(status).delete(cancel)),
        ("/system/calls/{id}/result", get(result).layer(map_response(pages::lock))),
    ]
}

/// Which calls to list.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Wanted {
    /// Several are separated by commas; without one, any.
    state: String,
    function: String,
    since: String,
    until: String,
    min_duration: String,
    limit: Option<usize>,
    after: String,
}

const USUALLY_LISTED: usize = 100;
const MAX_LISTED: usize = 1000;
/// On a list that goes on: what `after` is to be for the next part.
pub(crate) const NEXT: HeaderName = HeaderName::from_static("x-skep-next");

impl Wanted {
    fn filter(&self, app: &App) -> Result<CallFilter> {
        let invalid = |name: &str, reason: String| Error::InvalidRequest(format!("{name}: {reason}"));
        let states = self.state.split(',').map(str::trim).filter(|state| !state.is_empty());
        let states = states.map(|state| state.parse().map_err(|reason| invalid("state", reason)));
        let now = skep_bus::now();
        let time = |name: &str, text: &str| match text {
            "" => Ok(None),
            text => parse_past(text, now).map(Some).map_err(|reason| invalid(name, reason)),
        };
        let min_duration = (!self.min_duration.is_empty()).then(|| parse_duration(&self.min_duration)).transpose();
        Ok(CallFilter {
            function: (!self.function.is_empty()).then(|| app.named(&self.function, "")).transpose()?,
            states: states.collect::<Result<_>>()?,
            since: time("since", &self.since)?,
            until: time("until", &self.until)?,
            min_duration: min_duration.map_err(|error| invalid("minDuration", error.to_string()))?,
        })
    }

    fn position(&self) -> Result<Position> {
        if self.after.is_empty() {
            return Ok(Position::default());
        }
        self.after.parse().map_err(|reason| Error::InvalidRequest(format!("after: {reason}")))
    }
}

async fn list(State(app): State<Arc<App>>, Queried(wanted): Queried<Wanted>) -> Result<Response> {
    let limit = wanted.limit.unwrap_or(USUALLY_LISTED).min(MAX_LISTED);
    let page = app.require_bus().await?.calls.list(&wanted.filter(&app)?, limit, wanted.position()?).await?;
    let next = page.next.and_then(|position| HeaderValue::try_from(position.to_string()).ok());
    let calls: Vec<CallStatus> = page.calls.into_iter().map(shown).collect();
    Ok((next.map(|next| [(NEXT, next)]), Json(calls)).into_response())
}

async fn cancel(State(app): State<Arc<App>>, Segment(id): Segment) -> Result<StatusCode> {
    cancel_by_id(&app, &id).await
}

/// Takes a call back that has not ended; once more is no error.
pub(crate) async fn cancel_by_id(app: &App, id: &str) -> Result<StatusCode> {
    let id: CallId = id.parse()?;
    let cancelled = app.require_bus().await?.calls.cancel(&id).await?;
    answer_to_cancel(cancelled, id, |id| app.unknown_call(id))
}

fn answer_to_cancel(cancelled: Cancelled, id: CallId, unknown: impl FnOnce(CallId) -> Error) -> Result<StatusCode> {
    match cancelled {
        Cancelled::Cancelled | Cancelled::Ended(CallState::Cancelled) => Ok(StatusCode::ACCEPTED),
        Cancelled::Ended(state) => Err(Error::CallEnded { id, state: state.as_str() }),
        Cancelled::Unknown => Err(unknown(id)),
    }
}

#[derive(Deserialize)]
struct Wait {
    #[serde(default)]
    wait: String,
}

impl Wait {
    /// How long to wait for the call's end; no longer than five minutes.
    fn duration(&self) -> Result<Duration> {
        if self.wait.is_empty() {
            return Ok(Duration::ZERO);
        }
        let wait = parse_duration(&self.wait).map_err(|error| Error::InvalidRequest(format!("wait: {error}")))?;
        Ok(wait.min(MAX_WAIT))
    }
}

async fn status(
    State(app): State<Arc<App>>,
    Segment(id): Segment,
    Queried(wait): Queried<Wait>,
) -> Result<Json<CallDetails>> {
    let status = match find(&app, &id, wait.duration()?).await? {
        Found::Finished(record) => record.status,
        Found::Open(status) => *status,
    };
    details(&app, status).await.map(Json)
}

/// Where a call stands now, and what happened to it.
pub(crate) async fn details_of(app: &App, id: &CallId) -> Result<CallDetails> {
    let status = app.require_bus().await?.calls.status(id).await?.ok_or_else(|| app.unknown_call(id.clone()))?;
    details(app, status).await
}

async fn details(app: &App, mut status: CallStatus) -> Result<CallDetails> {
    let has_callback = status.state.is_final() && status.callback_url.is_some();
    let tries = if has_callback { app.bus.calls.callback_tries(&status.call_id).await? } else { Vec::new() };
    hide(&mut status);
    Ok(CallDetails::new(status, &tries))
}

async fn result(State(app): State<Arc<App>>, Segment(id): Segment, Queried(wait): Queried<Wait>) -> Result<Response> {
    match find(&app, &id, wait.duration()?).await? {
        Found::Finished(record) => answer_of(&app.bus.bodies, *record).await,
        Found::Open(status) => {
            let again = (header::RETRY_AFTER, HeaderValue::from_static("1"));
            Ok((StatusCode::ACCEPTED, [again], Json(shown(*status))).into_response())
        }
    }
}

/// In a list, and where there is no result yet, a call is shown without its steps.
fn shown(mut status: CallStatus) -> CallStatus {
    hide(&mut status);
    status.past_attempts.clear();
    status
}

/// Takes away what is kept of a call and is nobody's business.
fn hide(status: &mut CallStatus) {
    status.callback_url = status.callback_url.take().map(without_credentials);
    (status.fingerprint, status.callback_authorized) = (None, false);
    status.retry.clear();
    status.trace = status.trace.take().map(skep_trace::Context::without_state);
}

enum Found {
    Finished(Box<CallRecord>),
    Open(Box<CallStatus>),
}

/// Looks a call up, and if it has not finished waits for its end. However slow NATS is, the answer comes soon after the wait.
async fn find(app: &App, id: &str, wait: Duration) -> Result<Found> {
    let id: CallId = id.parse()?;
    let deadline = Instant::now() + wait;
    let found = timeout_at(deadline + LAST_CHECK_TIMEOUT, Box::pin(find_until(app, id, deadline)));
    found.await.unwrap_or(Err(Error::SlowBus(wait + LAST_CHECK_TIMEOUT)))
}

async fn find_until(app: &App, id: CallId, deadline: Instant) -> Result<Found> {
    let bus = app.require_bus().await?;
    let mut status = bus.calls.status(&id).await?.ok_or_else(|| app.unknown_call(id.clone()))?;
    if !status.state.is_final() && deadline > Instant::now() {
        if let Some(record) = end_of(app, &id, deadline).await? {
            return Ok(Found::Finished(Box::new(record)));
        }
        status = bus.calls.status(&id).await?.ok_or_else(|| app.unknown_call(id.clone()))?;
    }
    if !status.state.is_final() {
        return Ok(Found::Open(Box::new(status)));
    }
    let record = bus.calls.latest_record(&id).await?.ok_or_else(|| app.unknown_call(id))?;
    Ok(Found::Finished(Box::new(record)))
}

/// Waits for a call's end; `None` if it has not come in time, or if this gateway stops and another one may be asked.
async fn end_of(app: &App, id: &CallId, deadline: Instant) -> Result<Option<CallRecord>> {
    let _place = app.waiters.try_acquire().map_err(|_| Error::TooManyWaiters(app.limits.waiters))?;
    tokio::select! {
        record = app.bus.calls.wait_for_record(id, deadline) => Ok(record?),
        () = sleep_until(deadline + LAST_CHECK_TIMEOUT) => Ok(None),
        () = app.shutdown.cancelled() => Ok(None),
    }
}

/// The answer of a call that was submitted a moment ago, if it comes in time: like the result, but with the status that the function gave it.
///
/// Only a record of the same request is shown: this route asks for no password, so an id alone must not give away another caller's result.
pub(crate) async fn answer_within(
    app: &App,
    id: &CallId,
    fingerprint: Option<&Fingerprint>,
    wait: Duration,
) -> Option<Response> {
    let record = match end_of(app, id, Instant::now() + wait).await {
        Ok(record) => record?,
        Err(error) => {
            // The call is accepted all the same.
            error.log();
            return None;
        }
    };
    if record.status.fingerprint.as_ref() != fingerprint {
        return None;
    }
    let status = record.status.status.and_then(|status| StatusCode::from_u16(status).ok());
    let mut response = answer_of(&app.bus.bodies, record).await.unwrap_or_else(IntoResponse::into_response);
    if let Some(status) = status.filter(|_| response.status() == StatusCode::OK) {
        *response.status_mut() = status;
    }
    Some(response)
}

async fn answer_of(bodies: &Bodies, record: CallRecord) -> Result<Response> {
    let Some(stored) = record.body.stored().cloned() else { return answer(record) };
    let body = Body::from_stream(bodies.open(&stored).await?);
    let mut response = answer(record)?.map(|_| body);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(stored.length));
    Ok(response)
}

/// The function's answer as it was, with the same headers as a callback has; its status travels as one of them.
fn answer(record: CallRecord) -> Result<Response> {
    let mut headers = record.answer_headers();
    let status = record.status;
    if let Some(reason) = status.reason {
        if record.body.length() == 0 {
            return Err(Error::NoResult { id: status.call_id, reason });
        }
        if status.state != CallState::Dead {
            headers.insert(SKEP_ERROR, HeaderValue::from_static("incomplete_result"));
        }
    }
    let mut response = record.body.in_message().clone().into_response();
    response.headers_mut().remove(header::CONTENT_TYPE);
    response.headers_mut().extend(headers);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use skep_protocol::CallBody;
    use time::OffsetDateTime;

    use super::*;

    fn record(state: CallState, status: Option<u16>) -> CallRecord {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/png"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("99"));
        headers.append("x-many", HeaderValue::from_static("1"));
        headers.append("x-many", HeaderValue::from_static("2"));
        let status = CallStatus {
            state,
            status,
            attempts: 1,
            max_attempts: Some(1),
            duration_seconds: Some(0.25),
            reason: status.is_none().then(|| "exec format error".to_owned()),
            ..CallStatus::accepted("a-1".parse().unwrap(), "figlet", OffsetDateTime::UNIX_EPOCH)
        };
        let body = if status.status.is_some() { Bytes::from_static(b"png").into() } else { CallBody::empty() };
        CallRecord { status, headers, body, returned: HeaderMap::new() }
    }

    #[test]
    fn a_call_is_cancelled_once_or_twice_but_not_after_its_end() {
        let answer = |cancelled| answer_to_cancel(cancelled, "a-1".parse().unwrap(), Error::UnknownCall);
        for cancelled in [Cancelled::Cancelled, Cancelled::Ended(CallState::Cancelled)] {
            assert_eq!(answer(cancelled).unwrap(), StatusCode::ACCEPTED);
        }
        for state in [CallState::Succeeded, CallState::Failed, CallState::Dead] {
            let refused = answer(Cancelled::Ended(state)).unwrap_err();
            assert!(refused.to_string().contains(state.as_str()), "{refused}");
            assert_eq!(refused.into_response().status(), StatusCode::CONFLICT);
        }
        assert_eq!(answer(Cancelled::Unknown).unwrap_err().into_response().status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn a_result_is_the_functions_answer_with_its_status_as_a_header() {
        let response = answer(record(CallState::Failed, Some(500))).unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let expected = [
            ("content-type", "image/png"),
            ("x-call-id", "a-1"),
            ("x-function-name", "figlet"),
            ("x-function-status", "500"),
            ("x-duration-seconds", "0.250000"),
        ];
        for (name, value) in expected {
            assert_eq!(response.headers()[name], value, "{name}");
        }
        assert_eq!(response.headers().get_all("x-many").iter().count(), 2);
        assert!(!response.headers().contains_key("content-length"));
    }

    #[test]
    fn a_call_without_an_answer_of_its_own_says_why() {
        let error = answer(record(CallState::Dead, None)).unwrap_err();
        assert_eq!(error.status().0, StatusCode::CONFLICT);
        assert_eq!(error.to_string(), "call a-1 has no result: exec format error");
    }

    #[test]
    fn a_wait_is_a_duration_of_at_most_five_minutes() {
        let wait = |text: &str| Wait { wait: text.to_owned() }.duration();
        assert_eq!(wait("").unwrap(), Duration::ZERO);
        assert_eq!(wait("30s").unwrap(), Duration::from_secs(30));
        assert_eq!(wait("1h").unwrap(), MAX_WAIT);
        assert!(wait("soon").unwrap_err().to_string().starts_with("wait: "));
    }
}
