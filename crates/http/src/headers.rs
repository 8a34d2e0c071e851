//! What both sides read out of headers.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_LENGTH};

use crate::{Error, Result};

/// More are refused, or not simple.
pub(crate) const MAX_HEADERS: usize = 100;
/// Headers that a proxy may add.
const ROOM_FOR_MORE: usize = 6;

/// The headers of a head of this length, each of which is also passed to `note`.
pub(crate) fn headers_of(
    buffer: &[u8],
    length: usize,
    parsed: &[httparse::Header<'_>],
    mut note: impl FnMut(&HeaderName, &HeaderValue) -> Result<()>,
) -> Result<HeaderMap> {
    const INVALID: Error = Error::NotHttp("its headers cannot be read");
    // The values lie in a copy, so that the buffer is free for what comes next however long they are kept.
    let values = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
    let mut headers = HeaderMap::with_capacity(parsed.len() + ROOM_FOR_MORE);
    for header in parsed {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| INVALID)?;
        let value = values.slice(place_in(buffer, header.value));
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| INVALID)?;
        note(&name, &value)?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// Where in `whole` the slice lies that is a part of it.
fn place_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

/// Whether a `Connection` header says that its connection is closed.
pub(crate) fn says_close(value: &HeaderValue) -> bool {
    list(value).any(|option| option.eq_ignore_ascii_case(b"close"))
}

/// Whether one says that its connection is kept.
pub(crate) fn says_keep_alive(value: &HeaderValue) -> bool {
    list(value).any(|option| option.eq_ignore_ascii_case(b"keep-alive"))
}

/// The members of a comma-separated list.
pub(crate) fn list(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

pub(crate) fn digits(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// The length that headers give, if they do.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    digits(headers.get(CONTENT_LENGTH)?.as_bytes())
}
