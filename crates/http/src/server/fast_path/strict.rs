//! Ambiguous requests, which two readers may understand differently: they are refused, and their connection is closed.
//!
//! RFC 9112 lets a server guess in these cases. But a proxy in front of it may guess differently, and then requests can be smuggled in.

use std::mem::MaybeUninit;

use http::{
    HeaderMap,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use httparse::{ParserConfig, Status};
use memchr::memchr_iter;

use crate::headers::MAX_HEADERS;

/// Why such a request is refused.
pub(crate) const AMBIGUOUS: &str = "the request can be understood in more than one way: lines must end with CRLF, Transfer-Encoding must be chunked or absent, and Content-Length must not stand beside it\n";

/// Whether the request that a buffer begins with is one of these; of an incomplete one, as far as it shows.
pub(crate) fn is_ambiguous(buffer: &[u8]) -> bool {
    let mut parsed = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    let parser = ParserConfig::default();
    match parser.parse_request_with_uninit_headers(&mut request, buffer, &mut parsed) {
        Ok(Status::Complete(length)) => {
            let values = |name: &str| {
                let of_name = |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(name);
                request.headers.iter().filter(of_name).map(|header| header.value).collect::<Vec<_>>()
            };
            let codings = values(TRANSFER_ENCODING.as_str());
            has_bare_line_feed(buffer.get(..length).unwrap_or_default())
                || !is_clear(&codings, !values(CONTENT_LENGTH.as_str()).is_empty())
        }
        // All of it belongs to the head.
        Ok(Status::Partial) => has_bare_line_feed(buffer),
        // The next reader refuses it.
        Err(_) => false,
    }
}

/// The same, as far as the headers show that were read already.
pub(crate) fn has_ambiguous_coding(headers: &HeaderMap) -> bool {
    let codings: Vec<_> = headers.get_all(TRANSFER_ENCODING).iter().map(|value| value.as_bytes()).collect();
    !is_clear(&codings, headers.contains_key(CONTENT_LENGTH))
}

/// Whether a body with these codings has one end only.
fn is_clear(codings: &[&[u8]], has_length: bool) -> bool {
    match codings {
        [] => true,
        [only] => only.trim_ascii().eq_ignore_ascii_case(b"chunked") && !has_length,
        _ => false,
    }
}

/// Whether a line of a head ends without CR.
pub(crate) fn has_bare_line_feed(head: &[u8]) -> bool {
    memchr_iter(b'\n', head).any(|at| at.checked_sub(1).and_then(|before| head.get(before)) != Some(&b'\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_in_two_ways_is_ambiguous() {
        for request in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nX: ",
            "POST / HTTP/1.1\r\nTransfer-Encoding: identity, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(is_ambiguous(request.as_bytes()), "{request:?}");
        }
        for request in [
            "",
            "GET / HTTP/1.1\r\nHost: a\r\nX: ",
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n5\nhello",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\na\nb\nc",
        ] {
            assert!(!is_ambiguous(request.as_bytes()), "{request:?}");
        }
    }
}
