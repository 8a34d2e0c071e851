//! The head of an answer: its status and headers, and what they say of the body and of the connection.

use std::mem::MaybeUninit;

use bytes::{Buf, BytesMut};
use http::{
    HeaderName, HeaderValue, Method, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
    response,
};
use httparse::{ParserConfig, Status};

use crate::{
    Error, Outgoing, Result,
    headers::{digits, headers_of, list, says_close, says_keep_alive},
};

use super::{chunked::Chunked, decoder::Decoder};

const MAX_HEAD: usize = 256 << 10;
/// More headers of an answer are refused: more than a watchdog takes from a program, so that it can add some.
const MAX_ANSWER_HEADERS: usize = 128;
/// More interim answers are refused.
const MAX_INTERIM: u32 = 32;

#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) parts: response::Parts,
    pub(crate) decoder: Decoder,
    /// Whether the connection can take another request after the body.
    pub(crate) keep_alive: bool,
}

/// Takes the head of the answer to a request from the buffer; `None` asks for more bytes. Interim answers (1xx) are counted and passed over.
pub(crate) fn take_head<B>(buffer: &mut BytesMut, request: &Outgoing<B>, interim: &mut u32) -> Result<Option<Head>> {
    while let Some(head) = take_any(buffer, &request.method)? {
        if head.parts.status == StatusCode::SWITCHING_PROTOCOLS {
            const UNASKED: Error = Error::NotHttp("it answered 101 to a request that asks for no upgrade");
            return if request.asks_for_upgrade { Ok(Some(head)) } else { Err(UNASKED) };
        }
        if !head.parts.status.is_informational() {
            return Ok(Some(head));
        }
        *interim += 1;
        if *interim > MAX_INTERIM {
            return Err(Error::NotHttp("it has too many interim answers"));
        }
    }
    Ok(None)
}

fn take_any(buffer: &mut BytesMut, method: &Method) -> Result<Option<Head>> {
    let mut parsed = [const { MaybeUninit::uninit() }; MAX_ANSWER_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let parser = ParserConfig::default();
    let length = match parser.parse_response_with_uninit_headers(&mut response, buffer, &mut parsed) {
        Ok(Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(Status::Partial) if buffer.len() < MAX_HEAD => return Ok(None),
        Ok(_) => return Err(Error::NotHttp("its head is too long")),
        Err(httparse::Error::TooManyHeaders) => return Err(Error::NotHttp("it has too many headers")),
        Err(_) => return Err(Error::NotHttp("its head cannot be read")),
    };
    let mut framing = Framing::default();
    let headers = headers_of(buffer, length, response.headers, |name, value| framing.note(name, value))?;
    let (mut parts, ()) = Response::new(()).into_parts();
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    parts.status = status.ok_or(Error::NotHttp("its status cannot be read"))?;
    parts.version = if response.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    parts.headers = headers;
    buffer.advance(length);
    let (decoder, keep_alive) = framing.decide(&mut parts, method)?;
    Ok(Some(Head { parts, decoder, keep_alive }))
}

/// What the headers say of the length of the body, and of the connection.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    is_chunked: bool,
    says_close: bool,
    says_keep_alive: bool,
}

impl Framing {
    fn note(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<()> {
        if *name == CONTENT_LENGTH {
            for length in list(value) {
                let length = digits(length).ok_or(Error::NotHttp("its Content-Length cannot be read"))?;
                if self.length.replace(length).is_some_and(|other| other != length) {
                    return Err(Error::NotHttp("it has more than one length"));
                }
            }
        } else if *name == TRANSFER_ENCODING {
            if self.is_chunked || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Err(Error::NotHttp("its Transfer-Encoding is not chunked"));
            }
            self.is_chunked = true;
        } else if *name == CONNECTION {
            self.says_close |= says_close(value);
            self.says_keep_alive |= says_keep_alive(value);
        }
        Ok(())
    }

    fn decide(&self, parts: &mut response::Parts, method: &Method) -> Result<(Decoder, bool)> {
        let is_final = !parts.status.is_informational();
        let mut keep_alive =
            is_final && !self.says_close && (parts.version == Version::HTTP_11 || self.says_keep_alive);
        let has_no_body = *method == Method::HEAD
            || !is_final
            || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let decoder = if has_no_body {
            Decoder::Ended
        } else if self.is_chunked {
            if parts.version == Version::HTTP_10 {
                return Err(Error::NotHttp("HTTP/1.0 has no Transfer-Encoding"));
            }
            // Both is a fault, or meant to be understood in two ways (RFC 9112, 6.3, 3).
            if parts.headers.remove(CONTENT_LENGTH).is_some() {
                keep_alive = false;
            }
            Decoder::Chunked(Chunked::Size)
        } else if let Some(length) = self.length {
            Decoder::length(length)
        } else {
            keep_alive = false;
            Decoder::UntilClose
        };
        Ok((decoder, keep_alive))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use http::HeaderMap;
    use http_body_util::Empty;
    use proptest::prelude::*;

    use super::{super::decoder::Decoded, *};

    /// All of an answer that comes in these pieces, and what is left of them; an error as its text.
    fn read(pieces: &[&[u8]]) -> Result<(String, Vec<u8>, HeaderMap, usize), String> {
        let request = Outgoing::new(http::Request::new(Empty::new())).now_or_never().unwrap().unwrap();
        let (mut buffer, mut head, mut interim) = (BytesMut::new(), None, 0);
        let (mut body, mut trailers, mut has_ended) = (Vec::new(), HeaderMap::new(), false);
        for piece in pieces {
            buffer.extend_from_slice(piece);
            if head.is_none() {
                head = take_head(&mut buffer, &request, &mut interim).map_err(|error| error.to_string())?;
            }
            let Some(head) = &mut head else { continue };
            while !has_ended
                && let Some(decoded) = head.decoder.decode(&mut buffer).map_err(|error| error.to_string())?
            {
                match decoded {
                    Decoded::Data(data) => body.extend_from_slice(&data),
                    Decoded::Trailers(found) => (trailers, has_ended) = (found, true),
                    Decoded::End => has_ended = true,
                }
            }
        }
        let head = head.map(|head| format!("{:?} {:?} {}", head.parts, head.decoder, head.keep_alive));
        Ok((head.unwrap_or_default(), body, trailers, buffer.len()))
    }

    proptest! {
        #[test]
        fn an_answer_is_the_same_in_whatever_pieces_it_comes(
            sizes in prop::collection::vec(1..40usize, 0..5),
            length in 0..60usize,
            is_chunked: bool,
            trailer: bool,
            interim: bool,
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut raw = if interim { b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".to_vec() } else { Vec::new() };
            raw.extend_from_slice(b"HTTP/1.1 200 OK\r\nserver: x\r\nx-empty:\r\n");
            let expected = if is_chunked {
                raw.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
                for size in &sizes {
                    raw.extend_from_slice(format!("{size:X};q=\"0\"\r\n{}\r\n", "c".repeat(*size)).as_bytes());
                }
                raw.extend_from_slice(if trailer { b"0\r\na: b\r\n\r\n" } else { b"0\r\n\r\n" });
                "c".repeat(sizes.iter().sum())
            } else {
                raw.extend_from_slice(format!("content-length: {length}\r\n\r\n{}", "l".repeat(length)).as_bytes());
                "l".repeat(length)
            };
            raw.extend_from_slice(b"rest");
            let whole = read(&[&raw]).unwrap();
            prop_assert_eq!(&whole.1, expected.as_bytes());
            prop_assert_eq!((whole.2.len(), whole.3), (usize::from(is_chunked && trailer), 4));
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(raw.len())).collect();
            cuts.sort_unstable();
            let ends = cuts.iter().copied().chain([raw.len()]);
            let starts = [0].into_iter().chain(cuts.iter().copied());
            let pieces: Vec<_> = starts.zip(ends).map(|(start, end)| &raw[start..end]).collect();
            prop_assert_eq!(read(&pieces).unwrap(), whole);
        }

        #[test]
        fn no_bytes_are_a_reason_to_panic(
            start in prop::sample::select(vec![
                "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
            ]),
            rest in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"\r\n:;,0aF ".to_vec())], 0..80),
        ) {
            let _ = read(&[start.as_bytes(), &rest]);
        }
    }
}
