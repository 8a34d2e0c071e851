//! How calls and records are written as NATS messages: the raw body, and everything else as headers.
//!
//! HTTP headers travel as `Http-<name>`, so no caller can set a header that the server acts on (`Nats-…`).
//! Bytes above 0x7F in HTTP values become the characters of the same number, because NATS headers are UTF-8.

#[cfg(test)]
mod fixtures;
#[cfg(any(test, fuzzing))]
pub mod laws;
#[cfg(test)]
mod tests;
mod trace;
mod version;

pub(crate) use self::trace::{add_trace, is_of_trace, read_trace};
pub(crate) use self::version::{add as add_version, check as check_version};

use std::sync::LazyLock;

use async_nats::{HeaderMap as NatsHeaders, HeaderName as NatsHeaderName};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Serialize, de::DeserializeOwned};
use skep_protocol::{Call, CallBody, CallRecord, CallStatus, Fingerprint, LastAttempt, StoredBody};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{fit, queue::life::Progress};

pub(crate) const CALL_ID: &str = "Skep-Call-Id";
const CALLERS_ID: &str = "Skep-Callers-Id";
const FINGERPRINT: &str = "Skep-Fingerprint";
pub(crate) const FUNCTION: &str = "Skep-Function";
pub(crate) const METHOD: &str = "Skep-Method";
pub(crate) const PATH: &str = "Skep-Path";
pub(crate) const QUERY: &str = "Skep-Query";
const CALLBACK: &str = "Skep-Callback";
const STEPS: &str = "Skep-Steps";
const CALLBACK_AUTHORIZED: &str = "Skep-Callback-Authorized";
const ACCEPTED_AT: &str = "Skep-Accepted-At";
pub(crate) const BURST: &str = "Skep-Burst";
const OCCURRENCE: &str = "Skep-Occurrence";
const RETRY: &str = "Skep-Retry";
const RUN_AT: &str = "Skep-Run-At";
pub(crate) const ATTEMPTS: &str = "Skep-Attempts";
const INTERRUPTIONS: &str = "Skep-Interruptions";
/// On a call in a backlog: it was stored there when it was submitted, and comes from no lane.
pub(crate) const SUBMITTED: &str = "Skep-Submitted";
/// On a parked call: what it waits for.
pub(crate) const PARKED: &str = "Skep-Parked";
pub(crate) const NEXT_AT: &str = "Skep-Next-At";
pub(crate) const LAST_STATUS: &str = "Skep-Last-Status";
pub(crate) const LAST_ANSWER: &str = "Skep-Last-Answer";
pub(crate) const HISTORY: &str = "Skep-History";
const BODY: &str = "Skep-Body";
/// The name on the wire stays, because stored calls have it.
pub(crate) const PAST_ATTEMPTS: &str = "Skep-Told";
/// On a record whose callback is delivered once more.
pub(crate) const REDRIVEN: &str = "Skep-Redriven";
/// On a dead letter: what of the original message it has not.
pub(crate) const LEFT_OUT: &str = "Skep-Left-Out";
pub(crate) const STATUS: &str = "Skep-Status";
pub(crate) const REASON: &str = "Skep-Reason";
/// The bytes of a list that a call carries.
const MAX_LIST: usize = 12 * 1024;
pub(crate) const HTTP_PREFIX: &str = "Http-";
const RETURNED_PREFIX: &str = "Returned-";

/// Why a message cannot be read.
pub(crate) type Unreadable = String;

/// The headers of a message; it may have none.
pub(crate) fn headers(message: &async_nats::Message) -> &NatsHeaders {
    static NONE: LazyLock<NatsHeaders> = LazyLock::new(NatsHeaders::new);
    message.headers.as_ref().unwrap_or(&NONE)
}

pub(crate) fn call_headers(call: &Call) -> NatsHeaders {
    let mut headers = NatsHeaders::new();
    version::add(&mut headers);
    add_http_headers(&mut headers, HTTP_PREFIX, &call.headers);
    headers.insert(CALL_ID, call.call_id.as_str());
    headers.insert(FUNCTION, call.function.as_str());
    headers.insert(METHOD, call.method.as_str());
    headers.insert(ACCEPTED_AT, timestamp(call.accepted_at));
    if !call.path.is_empty() {
        headers.insert(PATH, escape(call.path.as_bytes()));
    }
    if let Some(query) = &call.query {
        headers.insert(QUERY, escape(query.as_bytes()));
    }
    if let Some(callback) = &call.callback {
        headers.insert(CALLBACK, callback.as_str());
    }
    add_what_a_route_says(&mut headers, call);
    if call.callback_authorized {
        headers.insert(CALLBACK_AUTHORIZED, "true");
    }
    if call.has_callers_id {
        headers.insert(CALLERS_ID, "true");
    }
    if let Some(fingerprint) = &call.fingerprint {
        headers.insert(FINGERPRINT, fingerprint.as_str());
    }
    if let Some(run_at) = call.run_at {
        headers.insert(RUN_AT, timestamp(run_at));
    }
    if call.interruptions > 0 {
        headers.insert(INTERRUPTIONS, call.interruptions.to_string());
    }
    insert_list(&mut headers, HISTORY, &call.history);
    add_trace(&mut headers, call.trace.as_ref());
    name_body(&mut headers, &call.body);
    if let Some(last) = &call.last_attempt {
        headers.insert(ATTEMPTS, last.number.to_string());
        headers.insert(NEXT_AT, timestamp(last.next_at));
        headers.insert(REASON, fit::reason(&last.reason));
        insert_list(&mut headers, PAST_ATTEMPTS, &last.past);
        if let Some(status) = last.status {
            headers.insert(LAST_STATUS, status.to_string());
        }
    }
    headers
}

/// What only calls of events have.
fn add_what_a_route_says(headers: &mut NatsHeaders, call: &Call) {
    if let Some(Ok(steps)) = call.steps.as_ref().map(serde_json::to_string) {
        headers.insert(STEPS, steps);
    }
    if let Some(burst) = &call.burst {
        headers.insert(BURST, burst.to_string());
    }
    if let Some(Ok(occurrence)) = call.occurrence.as_ref().map(serde_json::to_string) {
        headers.insert(OCCURRENCE, occurrence);
    }
    if let (false, Ok(retry)) = (call.retry.is_empty(), serde_json::to_string(&call.retry)) {
        headers.insert(RETRY, retry);
    }
}

/// How far the call of a message has come.
pub(crate) fn progress(headers: &NatsHeaders) -> Progress {
    let number = |name| text(headers, name).and_then(|number| number.parse().ok()).unwrap_or(0);
    Progress { attempts: number(ATTEMPTS), interruptions: number(INTERRUPTIONS) }
}

pub(crate) fn read_call(headers: &NatsHeaders, body: Bytes) -> Result<Call, Unreadable> {
    version::check(headers)?;
    Ok(Call {
        call_id: parsed(headers, CALL_ID)?,
        function: parsed(headers, FUNCTION)?,
        method: parsed::<Method>(headers, METHOD)?,
        path: text(headers, PATH).map(unescaped_text).unwrap_or_default(),
        query: text(headers, QUERY).map(unescaped_text),
        headers: read_http_headers(headers, HTTP_PREFIX),
        body: read_body(headers, body)?,
        callback: text(headers, CALLBACK).map(|_| parsed(headers, CALLBACK)).transpose()?,
        steps: read_json(headers, STEPS)?,
        callback_authorized: text(headers, CALLBACK_AUTHORIZED).is_some(),
        accepted_at: read_timestamp(headers, ACCEPTED_AT)?,
        has_callers_id: text(headers, CALLERS_ID).is_some(),
        fingerprint: text(headers, FINGERPRINT).map(Fingerprint::from_text),
        run_at: text(headers, RUN_AT).map(|_| read_timestamp(headers, RUN_AT)).transpose()?,
        in_bulk: false,
        burst: text(headers, BURST).map(|_| parsed(headers, BURST)).transpose()?,
        occurrence: read_json(headers, OCCURRENCE)?,
        retry: read_json(headers, RETRY)?,
        interruptions: text(headers, INTERRUPTIONS).map_or(Ok(0), |_| parsed(headers, INTERRUPTIONS))?,
        last_attempt: text(headers, ATTEMPTS).map(|_| read_last_attempt(headers)).transpose()?,
        history: read_json(headers, HISTORY)?,
        trace: read_trace(headers),
    })
}

fn read_last_attempt(headers: &NatsHeaders) -> Result<LastAttempt, Unreadable> {
    Ok(LastAttempt {
        number: parsed(headers, ATTEMPTS)?,
        status: text(headers, LAST_STATUS).map(|_| parsed(headers, LAST_STATUS)).transpose()?,
        reason: text(headers, REASON).unwrap_or_default().to_owned(),
        next_at: read_timestamp(headers, NEXT_AT)?,
        past: read_json(headers, PAST_ATTEMPTS)?,
    })
}

/// A list as JSON, if there is anything in it; the first of a long one go. Its texts and times can always be written.
fn insert_list<T: Serialize>(headers: &mut NatsHeaders, name: &'static str, mut list: &[T]) {
    while let ([_, rest @ ..], Ok(written)) = (list, serde_json::to_string(list)) {
        if written.len() <= MAX_LIST {
            headers.insert(name, written);
            return;
        }
        list = rest;
    }
}

pub(crate) fn read_json<T: DeserializeOwned + Default>(
    headers: &NatsHeaders,
    name: &'static str,
) -> Result<T, Unreadable> {
    let read = text(headers, name).map(serde_json::from_str).transpose();
    Ok(read.map_err(|error| format!("{name}: {error}"))?.unwrap_or_default())
}

pub(crate) fn read_timestamp(headers: &NatsHeaders, name: &'static str) -> Result<OffsetDateTime, Unreadable> {
    OffsetDateTime::parse(required(headers, name)?, &Rfc3339).map_err(|error| format!("{name}: {error}"))
}

pub(crate) fn record_headers(record: &CallRecord) -> Result<NatsHeaders, serde_json::Error> {
    let mut headers = NatsHeaders::new();
    version::add(&mut headers);
    add_http_headers(&mut headers, HTTP_PREFIX, &record.headers);
    add_http_headers(&mut headers, RETURNED_PREFIX, &record.returned);
    headers.insert(STATUS, serde_json::to_string(&record.status)?);
    name_body(&mut headers, &record.body);
    Ok(headers)
}

pub(crate) fn read_record(headers: &NatsHeaders, body: Bytes) -> Result<CallRecord, Unreadable> {
    version::check(headers)?;
    let status: CallStatus =
        serde_json::from_str(required(headers, STATUS)?).map_err(|error| format!("{STATUS}: {error}"))?;
    let body = read_body(headers, body)?;
    let (returned, headers) = (read_http_headers(headers, RETURNED_PREFIX), read_http_headers(headers, HTTP_PREFIX));
    Ok(CallRecord { status, headers, body, returned })
}

fn name_body(headers: &mut NatsHeaders, body: &CallBody) {
    if let Some(stored) = body.stored() {
        headers.insert(BODY, stored.to_string());
    }
}

fn read_body(headers: &NatsHeaders, in_message: Bytes) -> Result<CallBody, Unreadable> {
    Ok(stored_body(headers)?.map_or(CallBody::Whole(in_message), CallBody::Stored))
}

/// The body that a message names, if it is not in the message itself.
pub(crate) fn stored_body(headers: &NatsHeaders) -> Result<Option<StoredBody>, Unreadable> {
    text(headers, BODY).map(|_| parsed(headers, BODY)).transpose()
}

/// The text of a header that skep or a publisher set.
pub(crate) fn text<'headers>(headers: &'headers NatsHeaders, name: &'static str) -> Option<&'headers str> {
    headers.get(name).map(async_nats::HeaderValue::as_str)
}

/// Whether a message is a call that one of skep's own events made, or a callback of one.
pub fn is_of_own_event(headers: &NatsHeaders) -> bool {
    headers.get("Http-x-skep-own-event").is_some()
}

fn required<'headers>(headers: &'headers NatsHeaders, name: &'static str) -> Result<&'headers str, Unreadable> {
    text(headers, name).ok_or_else(|| format!("header {name} is missing"))
}

pub(crate) fn parsed<T>(headers: &NatsHeaders, name: &'static str) -> Result<T, Unreadable>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    required(headers, name)?.parse().map_err(|error| format!("{name}: {error}"))
}

pub(crate) fn timestamp(time: OffsetDateTime) -> String {
    // Only years outside 0 to 9999 cannot be written, and the clock does not give those.
    time.format(&Rfc3339).unwrap_or_default()
}

pub(crate) fn add_http_headers(nats: &mut NatsHeaders, prefix: &str, headers: &HeaderMap) {
    for (name, value) in headers {
        let mut prefixed = String::with_capacity(prefix.len() + name.as_str().len());
        prefixed.push_str(prefix);
        prefixed.push_str(name.as_str());
        if let Ok(prefixed) = prefixed.parse::<NatsHeaderName>() {
            nats.append(prefixed, escape(value.as_bytes()));
        }
    }
}

/// HTTP headers for a subscriber that knows nothing of skep. Names of NATS headers are case-sensitive, so they are written like `X-Call-Id`.
pub(crate) fn plain_headers(headers: &HeaderMap) -> NatsHeaders {
    let mut nats = NatsHeaders::new();
    for (name, value) in headers {
        if is_of_trace(name.as_str()) {
            // Tracers look for these as W3C writes them.
            nats.append(name.as_str(), escape(value.as_bytes()));
            continue;
        }
        let words = name.as_str().split('-').map(|word| {
            let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
            first.to_ascii_uppercase() + rest
        });
        if let Ok(name) = words.collect::<Vec<_>>().join("-").parse::<NatsHeaderName>() {
            nats.append(name, escape(value.as_bytes()));
        }
    }
    nats
}

pub(crate) fn read_http_headers(headers: &NatsHeaders, prefix: &str) -> HeaderMap {
    let mut http = HeaderMap::new();
    for (name, values) in headers.iter() {
        let Some(name) = AsRef::<str>::as_ref(name).strip_prefix(prefix) else {
            continue;
        };
        let Ok(name) = name.parse::<HeaderName>() else {
            continue;
        };
        for value in values {
            if let Ok(value) = HeaderValue::from_bytes(&unescape(value.as_str())) {
                http.append(name.clone(), value);
            }
        }
    }
    http
}

pub(crate) fn escape(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

pub(crate) fn unescaped_text(text: &str) -> String {
    String::from_utf8_lossy(&unescape(text)).into_owned()
}

fn unescape(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}
