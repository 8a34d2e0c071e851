//! Simple requests: those that have arrived as a whole, and that every reader of RFC 9112 understands in the same way.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRANSFER_ENCODING, UPGRADE},
};
use httparse::{ParserConfig, Status};

use crate::{
    Error, FastPath, Result,
    headers::{MAX_HEADERS, digits, headers_of},
    server::fast_path::strict::has_bare_line_feed,
};

/// Takes a simple request from the buffer; where it is another one the buffer stays as it is.
pub(crate) fn take_simple(buffer: &mut BytesMut, limits: &FastPath) -> Option<Request<Bytes>> {
    let mut parsed = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    let parser = ParserConfig::default();
    let parsing = parser.parse_request_with_uninit_headers(&mut request, buffer, &mut parsed);
    let Ok(Status::Complete(length)) = parsing else { return None };
    let (Some(method), Some(path), Some(1)) = (request.method, request.path, request.version) else { return None };
    if length > limits.max_head_bytes || request.headers.len() > limits.max_headers || !path.starts_with('/') {
        return None;
    }
    if has_bare_line_feed(buffer.get(..length)?) {
        return None;
    }
    let method = Method::from_bytes(method.as_bytes()).ok().filter(|method| *method != Method::CONNECT)?;
    let uri = Uri::from_maybe_shared(Bytes::copy_from_slice(path.as_bytes())).ok()?;
    let mut body_length = None;
    let headers =
        headers_of(buffer, length, request.headers, |name, value| check_simple(name, value, &mut body_length));
    let (headers, body_length) = (headers.ok()?, body_length.unwrap_or(0));
    if u64::try_from(buffer.len() - length).ok()? < body_length {
        return None;
    }
    buffer.advance(length);
    let body = buffer.split_to(usize::try_from(body_length).ok()?).freeze();
    Some(with(method, uri, headers, body))
}

/// Fails for a header that asks for more than an answer, and for what is not one length.
fn check_simple(name: &HeaderName, value: &HeaderValue, length: &mut Option<u64>) -> Result<()> {
    const OTHER: Error = Error::NotHttp("it is no simple request");
    if *name == CONTENT_LENGTH {
        let found = digits(value.as_bytes()).ok_or(OTHER)?;
        return if length.replace(found).is_none() { Ok(()) } else { Err(OTHER) };
    }
    let says_nothing = *name == CONNECTION && value.as_bytes().eq_ignore_ascii_case(b"keep-alive");
    if [CONNECTION, TRANSFER_ENCODING, UPGRADE, EXPECT, TE].contains(name) && !says_nothing {
        return Err(OTHER);
    }
    Ok(())
}

fn with(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Request<Bytes> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    request
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use crate::server::fast_path::properties;

    fn lines() -> impl Strategy<Value = &'static str> {
        select(vec![
            "host: a\r\n",
            "HOST:a\n",
            "content-length: 5\r\n",
            "Content-Length:\t05 \r\n",
            "content-length: 5, 5\r\n",
            "content-length: +5\r\n",
            "content-length: 0\r\n",
            "content-length:\r\n",
            "content-length: 18446744073709551616\r\n",
            "transfer-encoding: chunked\r\n",
            "Transfer-Encoding: \x0bchunked\r\n",
            "transfer-encoding : chunked\r\n",
            "connection: Keep-Alive\r\n",
            "connection: keep-alive, close\r\n",
            "expect: 100-continue\r\n",
            "x: \u{e9}\r\n",
            "x:\r\n",
            "x y: z\r\n",
            " folded\r\n",
            "x: \0\r\n",
            "x: a\rb\r\n",
            "\r\n",
        ])
    }

    fn requests() -> impl Strategy<Value = Vec<u8>> {
        let starts = select(vec![
            "GET / HTTP/1.1\r\n",
            "POST /a%20b?c#d HTTP/1.1\r\n",
            "M-SEARCH /\u{e9} HTTP/1.1\n",
            "\r\n\nPUT //a HTTP/1.1\r\n",
            "POST http://b/c HTTP/1.1\r\n",
            "POST / HTTP/1.0\r\n",
            "POST  / HTTP/1.1\r\n",
            "OPTIONS * HTTP/1.1\r\n",
            "CONNECT / HTTP/1.1\r\n",
            "",
        ]);
        let bodies = select(vec!["", "hello", "5\r\nhello\r\n0\r\n\r\n", "GET /smuggled HTTP/1.1\r\n\r\n"]);
        let request = (starts, prop::collection::vec(lines(), 0..4), bodies)
            .prop_map(|(start, lines, body)| [start, &lines.concat(), "\r\n", body].concat().into_bytes());
        prop::collection::vec(request, 1..4).prop_map(|requests| requests.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_is_simple_is_the_same_to_hyper(raw in requests()) {
            properties::check(&raw);
        }

        #[test]
        fn no_bytes_are_a_reason_to_panic(
            start in select(vec!["", "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n"]),
            rest in prop::collection::vec(prop_oneof![any::<u8>(), select(b"\r\n:;,09aF /".to_vec())], 0..80),
        ) {
            properties::simple(&[start.as_bytes(), &rest].concat());
        }
    }
}
