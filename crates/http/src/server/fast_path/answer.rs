//! The head of an answer on its way out (RFC 9112, 6.3; RFC 9110, 6.6.1).

use std::{
    cell::Cell,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, response::Parts};
use http_body::Body;

use crate::{
    BodyError,
    headers::{content_length, says_close},
    message::{Coding, Message, USUAL_LENGTH, add_headers},
};

/// An answer to a request of this method, and whether the connection is kept after it.
pub(crate) fn answer<B>(response: Response<B>, method: &Method, is_last: bool) -> (Message<B>, bool)
where
    B: Body<Data = Bytes, Error: Into<BodyError>> + Unpin,
{
    let (mut head, body) = response.into_parts();
    if is_last {
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let keep_alive = !head.headers.get_all(header::CONNECTION).iter().any(says_close);
    let has_no_body =
        *method == Method::HEAD || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let coding = if has_no_body { Coding::Ended } else { Coding::of(&head.headers, &body) };
    let length = match head.status {
        StatusCode::NO_CONTENT => None,
        _ if has_no_body => {
            content_length(&head.headers).or_else(|| body.size_hint().exact().filter(|length| *length > 0))
        }
        _ => Some(0),
    };
    (Message::new(head_of(&head, coding, length), body, coding), keep_alive)
}

/// The head of an answer; where no body follows, it states this length.
fn head_of(head: &Parts, coding: Coding, length: Option<u64>) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(USUAL_LENGTH);
    let reason = head.status.canonical_reason().unwrap_or_default();
    for part in ["HTTP/1.1 ", head.status.as_str(), " ", reason, "\r\n"] {
        buffer.extend_from_slice(part.as_bytes());
    }
    add_headers(&mut buffer, &head.headers);
    if !head.headers.contains_key(header::DATE) {
        for part in [b"date: ".as_slice(), &date(), b"\r\n"] {
            buffer.extend_from_slice(part);
        }
    }
    coding.add_header(&mut buffer, length);
    buffer.extend_from_slice(b"\r\n");
    buffer
}

const DATE_LENGTH: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();

/// The date as an HTTP header, made once a second.
fn date() -> [u8; DATE_LENGTH] {
    thread_local! {
        static MADE: Cell<(u64, [u8; DATE_LENGTH])> = const { Cell::new((0, [b' '; DATE_LENGTH])) };
    }
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (made, mut date) = MADE.get();
    if made != second {
        for (place, byte) in date.iter_mut().zip(httpdate::fmt_http_date(now).bytes()) {
            *place = byte;
        }
        MADE.set((second, date));
    }
    date
}
