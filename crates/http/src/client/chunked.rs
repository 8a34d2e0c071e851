//! The chunked coding of a body (RFC 9112, 7.1).

use bytes::{Buf, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use httparse::Status;

use crate::{Error, Result, headers::MAX_HEADERS};

use super::decoder::{Decoded, take};

/// The line before a chunk, with its extensions.
const MAX_SIZE_LINE: usize = 4 << 10;
const MAX_TRAILERS: usize = 64 << 10;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunked {
    Size,
    /// The remaining bytes of a chunk.
    Data(u64),
    /// The end of the line after a chunk.
    DataEnd,
    Trailers,
}

impl Chunked {
    /// Takes what it can from the buffer; `None` asks for more bytes.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Decoded>> {
        loop {
            match *self {
                Self::Size => {
                    let Some(size) = take_size(buffer)? else { return Ok(None) };
                    *self = if size == 0 { Self::Trailers } else { Self::Data(size) };
                }
                Self::Data(0) => *self = Self::DataEnd,
                Self::Data(left) => {
                    let Some(data) = take(buffer, left) else { return Ok(None) };
                    *self = Self::Data(left - data.len() as u64);
                    return Ok(Some(Decoded::Data(data)));
                }
                Self::DataEnd => match buffer.get(..2) {
                    None => return Ok(None),
                    Some(b"\r\n") => {
                        buffer.advance(2);
                        *self = Self::Size;
                    }
                    Some(_) => return Err(Error::NotHttp("a chunk does not end where it should")),
                },
                Self::Trailers => return take_trailers(buffer),
            }
        }
    }
}

fn take_size(buffer: &mut BytesMut) -> Result<Option<u64>> {
    const INVALID: Error = Error::NotHttp("the size of a chunk cannot be read");
    // The parser takes an empty line for a size of 0.
    if buffer.first().is_some_and(|first| !first.is_ascii_hexdigit()) {
        return Err(INVALID);
    }
    match httparse::parse_chunk_size(buffer) {
        Ok(Status::Complete((length, size))) if length <= MAX_SIZE_LINE => {
            buffer.advance(length);
            Ok(Some(size))
        }
        Ok(Status::Partial) if buffer.len() < MAX_SIZE_LINE => Ok(None),
        Ok(_) | Err(_) => Err(INVALID),
    }
}

fn take_trailers(buffer: &mut BytesMut) -> Result<Option<Decoded>> {
    const INVALID: Error = Error::NotHttp("the trailers cannot be read");
    let mut parsed = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let (length, decoded) = match httparse::parse_headers(buffer, &mut parsed) {
        Ok(Status::Complete((length, []))) => (length, Decoded::End),
        Ok(Status::Complete((length, parsed))) if length <= MAX_TRAILERS => {
            let mut trailers = HeaderMap::with_capacity(parsed.len());
            for trailer in parsed {
                let name = HeaderName::from_bytes(trailer.name.as_bytes()).map_err(|_| INVALID)?;
                trailers.append(name, HeaderValue::from_bytes(trailer.value).map_err(|_| INVALID)?);
            }
            (length, Decoded::Trailers(trailers))
        }
        Ok(Status::Partial) if buffer.len() < MAX_TRAILERS => return Ok(None),
        Ok(_) | Err(_) => return Err(INVALID),
    };
    buffer.advance(length);
    Ok(Some(decoded))
}
