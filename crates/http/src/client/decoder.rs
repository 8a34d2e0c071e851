//! Where the body of an answer ends (RFC 9112, 6.3).

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::SizeHint;

use crate::{Error, Result};

use super::chunked::Chunked;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoder {
    Ended,
    /// How many more bytes are to come; never 0.
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    Data(Bytes),
    /// The end, with these.
    Trailers(HeaderMap),
    End,
}

impl Decoder {
    pub(crate) fn length(length: u64) -> Self {
        if length == 0 { Self::Ended } else { Self::Length(length) }
    }

    /// Takes what it can from the buffer; `None` asks for more bytes.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Decoded>> {
        let decoded = match self {
            Self::Ended => Some(Decoded::End),
            Self::Length(left) => match take(buffer, *left) {
                None => None,
                Some(data) => {
                    *self = Self::length(*left - data.len() as u64);
                    Some(Decoded::Data(data))
                }
            },
            Self::Chunked(chunked) => chunked.decode(buffer)?,
            Self::UntilClose => take(buffer, u64::MAX).map(Decoded::Data),
        };
        if matches!(decoded, Some(Decoded::Trailers(_) | Decoded::End)) {
            *self = Self::Ended;
        }
        Ok(decoded)
    }

    /// No more will come.
    pub(crate) fn close(&mut self) -> Result<()> {
        match self {
            Self::Ended => Ok(()),
            Self::UntilClose => {
                *self = Self::Ended;
                Ok(())
            }
            Self::Length(_) | Self::Chunked(_) => Err(Error::Closed),
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        *self == Self::Ended
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Ended => SizeHint::with_exact(0),
            Self::Length(left) => SizeHint::with_exact(*left),
            Self::Chunked(_) | Self::UntilClose => SizeHint::default(),
        }
    }
}

/// Up to this many bytes, if there are any.
pub(crate) fn take(buffer: &mut BytesMut, most: u64) -> Option<Bytes> {
    let length = usize::try_from(most).unwrap_or(usize::MAX).min(buffer.len());
    (length > 0).then(|| buffer.split_to(length).freeze())
}
