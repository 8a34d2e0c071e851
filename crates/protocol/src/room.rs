//! The limits of what a caller may send with a queued call besides its body.

use http::HeaderMap;
use thiserror::Error;
use url::Url;

/// The most that headers, path, query and callback URL of a call may take, in bytes as they are stored.
///
/// NATS takes 64 KiB of headers with a message. The rest is for what skep adds: attempts, earlier ends, reasons.
pub const MAX_HEADER_BYTES: usize = 32 * 1024;
/// The most headers of a call: the 100 that the gateway takes from a caller, and what it adds to them.
pub const MAX_HEADERS: usize = 112;

/// What a header takes beside its name and value: the prefix `Http-`, a colon, a space, and the end of the line.
const AROUND_A_HEADER: usize = "Http-: \r\n".len();

/// Why a call cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeadersTooLarge {
    #[error(
        "headers, path and query take {0} bytes as they are stored; a queued call may have {MAX_HEADER_BYTES}. \
        Send shorter headers, or put what they say into the body"
    )]
    Bytes(usize),
    #[error("there are {0} headers; a queued call may have {MAX_HEADERS}. Send fewer headers")]
    Count(usize),
}

/// Checks what a caller says of a call beside its body.
pub fn check_headers(
    headers: &HeaderMap,
    path: &str,
    query: Option<&str>,
    callback: Option<&Url>,
) -> Result<(), HeadersTooLarge> {
    if headers.len() > MAX_HEADERS {
        return Err(HeadersTooLarge::Count(headers.len()));
    }
    let texts = [path, query.unwrap_or_default()].map(|text| stored_length(text.as_bytes()));
    // In a record it is JSON, where a character may take two.
    let callback = callback.map_or(0, |url| 2 * url.as_str().len());
    let header_bytes = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        AROUND_A_HEADER + name.as_str().len() + stored_length(value.as_bytes())
    };
    match texts.iter().sum::<usize>() + callback + headers.iter().map(header_bytes).sum::<usize>() {
        0..=MAX_HEADER_BYTES => Ok(()),
        bytes => Err(HeadersTooLarge::Bytes(bytes)),
    }
}

/// Headers of NATS are UTF-8, so a byte above 0x7F is stored as two.
fn stored_length(bytes: &[u8]) -> usize {
    bytes.len() + bytes.iter().filter(|byte| !byte.is_ascii()).count()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn headers_are_counted_as_they_are_stored() {
        let check = |byte: u8, length: usize| {
            let value = HeaderValue::from_bytes(&vec![byte; length]).unwrap();
            check_headers(&HeaderMap::from_iter([(HeaderName::from_static("x"), value)]), "", None, None)
        };
        let room = MAX_HEADER_BYTES - AROUND_A_HEADER - 1;
        assert_eq!(check(b'a', room), Ok(()));
        assert_eq!(check(b'a', room + 1), Err(HeadersTooLarge::Bytes(MAX_HEADER_BYTES + 1)));
        assert_eq!(check(0xFF, room / 2), Ok(()));
        assert!(check(0xFF, room / 2 + 1).is_err());
    }

    #[test]
    fn path_query_and_callback_count_too_and_headers_may_not_be_many() {
        let long = "x".repeat(MAX_HEADER_BYTES);
        let url: Url = format!("http://a/{long}").parse().unwrap();
        let none = HeaderMap::new();
        assert_eq!(check_headers(&none, &long, None, None), Ok(()));
        assert!(check_headers(&none, &long, Some("q"), None).is_err());
        assert!(check_headers(&none, "", None, Some(&url)).is_err());
        let many = (0..=MAX_HEADERS)
            .map(|number| (HeaderName::try_from(format!("x-{number}")).unwrap(), HeaderValue::from(number)));
        assert_eq!(check_headers(&many.collect(), "", None, None), Err(HeadersTooLarge::Count(MAX_HEADERS + 1)));
    }
}
