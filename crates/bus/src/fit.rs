//! Records and dead letters that always fit: what NATS does not take is left out, the least needed first, and they say so.
//!
//! A message has at most 64 KiB of headers, and headers and body together are limited, too.
//! Calls fit because every entry point checks what callers send ([`skep_protocol::check_headers`]) and `wire` bounds what is added.

use std::borrow::Cow;

use async_nats::HeaderMap as NatsHeaders;
use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use skep_protocol::{CallBody, CallRecord};

use crate::{Error, wire};

/// NATS counts the bytes of headers in 16 bits.
pub(crate) const LARGEST_HEADERS: usize = u16::MAX as usize;
/// Kept free in a record for the reason of the dead letter that it may become.
const ROOM_FOR_A_LETTER: usize = 4 * 1024;
/// A reason is kept so far, in bytes.
const MAX_REASON: usize = 1024;
/// The longest type of an answer that is kept without its other headers.
const MAX_CONTENT_TYPE: usize = 256;

/// How many bytes headers take on the wire.
pub(crate) fn length(headers: &NatsHeaders) -> usize {
    const AROUND: usize = "NATS/1.0\r\n\r\n".len();
    let lines = headers.iter().flat_map(|(name, values)| {
        let name: &str = name.as_ref();
        values.iter().map(|value| name.len() + ": \r\n".len() + value.as_str().len())
    });
    AROUND + lines.sum::<usize>()
}

/// As much of a reason as is kept, on one line.
pub(crate) fn reason(text: &str) -> String {
    let mut end = text.len().min(MAX_REASON);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace(|c: char| c.is_control(), " ")
}

/// Leaves a part of a record out, if it is there, and then says what it was, unless nobody misses it.
type LeaveOut = fn(&mut CallRecord) -> Option<&'static str>;

const OF_A_RECORD: [LeaveOut; 4] = [
    |record| {
        // The number of attempts stays.
        record.status.past_attempts.clear();
        record.status.history.clear();
        None
    },
    |record| {
        let kept = type_alone(&record.headers);
        let all = std::mem::replace(&mut record.headers, kept);
        (all.len() > record.headers.len()).then_some("the headers of the answer")
    },
    |record| (!std::mem::take(&mut record.returned).is_empty()).then_some("the headers to be returned"),
    |record| {
        let is_in_message = !record.body.in_message().is_empty();
        is_in_message.then(|| record.body = CallBody::empty()).map(|()| "the body of the answer")
    },
];

fn type_alone(headers: &HeaderMap) -> HeaderMap {
    let content_type = headers.get(CONTENT_TYPE).filter(|value| value.len() <= MAX_CONTENT_TYPE);
    content_type.map(|value| (CONTENT_TYPE, value.clone())).into_iter().collect()
}

/// A record that fits into a message of at most `largest` bytes, and its headers.
pub(crate) fn record(
    record: &CallRecord,
    largest: usize,
) -> Result<(Cow<'_, CallRecord>, NatsHeaders), serde_json::Error> {
    let mut record = Cow::Borrowed(record);
    let given = record.status.reason.as_deref().map(reason);
    if given != record.status.reason {
        record.to_mut().status.reason = given.clone();
    }
    let mut left_out = Vec::new();
    let mut parts = OF_A_RECORD.iter();
    loop {
        let headers = wire::record_headers(&record)?;
        if is_fitting(&headers, record.body.in_message(), ROOM_FOR_A_LETTER, largest) {
            return Ok((record, headers));
        }
        let Some(leave_out) = parts.next() else { return Ok((record, headers)) };
        let record = record.to_mut();
        if let Some(part) = leave_out(record) {
            left_out.push(part);
            record.status.reason = Some(with_note(given.as_deref(), &left_out));
        }
    }
}

/// Whether a header is left out, by its name.
type IsLeftOut = fn(&str) -> bool;

/// What a dead letter has in any case. A publisher can set every other name, in any length.
const OF_THE_END: [&str; 3] = [wire::REASON, wire::ATTEMPTS, wire::LAST_STATUS];

/// Leaves out of a dead letter what does not fit.
pub(crate) fn dead_letter(headers: &mut NatsHeaders, payload: &mut Bytes, largest: usize) {
    let mut left_out = Vec::new();
    let given = wire::text(headers, wire::REASON).map(str::to_owned);
    let parts: [(&str, IsLeftOut); 3] = [
        ("the last answer", |name| name == wire::LAST_ANSWER),
        ("the attempts and ends before", |name| name == wire::PAST_ATTEMPTS || name == wire::HISTORY),
        ("the headers of the request", |name| !OF_THE_END.contains(&name)),
    ];
    for (name, is_left_out) in parts {
        if is_fitting(headers, payload, 0, largest) {
            return;
        }
        let kept = without(headers, is_left_out);
        if std::mem::replace(headers, kept).len() > headers.len() {
            left_out.push(name);
            note(headers, given.as_deref(), &left_out);
        }
    }
    headers.insert(wire::LEFT_OUT, "headers");
    if !is_fitting(headers, payload, 0, largest) && !payload.is_empty() {
        payload.clear();
        left_out.push("the body of the request");
        note(headers, given.as_deref(), &left_out);
    }
}

fn note(headers: &mut NatsHeaders, given: Option<&str>, left_out: &[&str]) {
    headers.insert(wire::REASON, with_note(given, left_out));
}

fn with_note(given: Option<&str>, left_out: &[&str]) -> String {
    let before = given.map(|reason| format!("{reason}; ")).unwrap_or_default();
    format!("{before}left out, because NATS takes no larger message: {}", left_out.join(", "))
}

/// Whether a message fits; the error says that it does not.
pub(crate) fn check(headers: &NatsHeaders, body: &[u8], largest: usize) -> Result<(), Error> {
    match (length(headers) <= LARGEST_HEADERS, is_fitting(headers, body, 0, largest)) {
        (_, true) => Ok(()),
        (true, false) => Err(Error::TooLarge { limit: largest }),
        (false, false) => Err(Error::TooLarge { limit: LARGEST_HEADERS }),
    }
}

fn is_fitting(headers: &NatsHeaders, body: &[u8], reserve: usize, largest: usize) -> bool {
    let length = length(headers) + reserve;
    length <= LARGEST_HEADERS && length + body.len() <= largest
}

pub(crate) fn without(headers: &NatsHeaders, is_left_out: impl Fn(&str) -> bool) -> NatsHeaders {
    let mut kept = NatsHeaders::new();
    for (name, values) in headers.iter().filter(|(name, _)| !is_left_out(AsRef::<str>::as_ref(*name))) {
        values.iter().for_each(|value| kept.append(name.clone(), value.clone()));
    }
    kept
}

#[cfg(test)]
mod tests;
