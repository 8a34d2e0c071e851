//! Bytes on their way to hyper, which is less strict than the fast path: it takes a line that ends without CR, and drops a `Content-Length` beside `Transfer-Encoding`.
//! Here such a line, or the end of such a head, is spoiled, so that hyper answers 400 and closes the connection.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use memchr::memchr;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::headers::digits;

use super::discard::Discard;

/// No head and no trailer may hold it.
const SPOILED: u8 = 0;

/// A connection whose requests are looked at as they are read.
pub(super) struct StrictHeads<S> {
    stream: S,
    place: Place,
    /// The line that has not ended yet.
    line: Vec<u8>,
    max_head_bytes: usize,
    is_upgraded: Arc<AtomicBool>,
    /// Once the last answer was sent.
    discard: Option<Discard>,
}

/// What the next byte belongs to, for requests that hyper takes; it closes the connection after all others.
enum Place {
    /// A head, with what it has said so far.
    Head {
        began: bool,
        body: Option<Framing>,
    },
    /// A body, or a chunk and the end of its line: so many bytes.
    Body {
        left: u64,
        is_chunk: bool,
    },
    ChunkSize,
    Trailers,
    /// It is no HTTP, or nothing that is still answered.
    Passed,
}

#[derive(Clone, Copy)]
enum Framing {
    Length(u64),
    Chunked,
    /// Both, so it is ambiguous.
    Both,
    /// hyper refuses it.
    Invalid,
}

impl<S> StrictHeads<S> {
    /// Once `is_upgraded` is true, what comes is no longer HTTP.
    pub(super) fn new(stream: S, max_head_bytes: usize, is_upgraded: Arc<AtomicBool>) -> Self {
        Self { stream, place: Place::NEXT, line: Vec::new(), max_head_bytes, is_upgraded, discard: None }
    }

    /// Whether the last request has come whole.
    fn is_between_requests(&self) -> bool {
        matches!(self.place, Place::Head { began: false, .. }) && self.line.is_empty()
    }

    fn look_at(&mut self, mut bytes: &mut [u8]) {
        if self.is_upgraded.load(Ordering::Relaxed) {
            self.place = Place::Passed;
        }
        while !bytes.is_empty() {
            let seen = match &mut self.place {
                Place::Passed => return,
                Place::Body { left, is_chunk } => {
                    let seen = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= seen as u64;
                    if *left == 0 {
                        self.place = if *is_chunk { Place::ChunkSize } else { Place::NEXT };
                    }
                    seen
                }
                Place::Head { .. } | Place::ChunkSize | Place::Trailers => self.look_at_line(bytes),
            };
            bytes = bytes.get_mut(seen..).unwrap_or_default();
        }
    }

    /// How many bytes belong to the line.
    fn look_at_line(&mut self, bytes: &mut [u8]) -> usize {
        let end = memchr(b'\n', bytes);
        let seen = end.map_or(bytes.len(), |end| end + 1);
        if self.line.len() + seen > self.max_head_bytes {
            // Too long for hyper, too.
            self.place = Place::Passed;
            return seen;
        }
        self.line.extend_from_slice(bytes.get(..seen).unwrap_or_default());
        let Some(end) = end else { return seen };
        let next = self.line.strip_suffix(b"\r\n").and_then(|line| self.place.after(line));
        if next.is_none() {
            bytes.get_mut(end).into_iter().for_each(|byte| *byte = SPOILED);
        }
        self.place = next.unwrap_or(Place::Passed);
        self.line.clear();
        seen
    }
}

impl Place {
    const NEXT: Self = Self::Head { began: false, body: None };

    /// What follows a line; `None` if it may be understood in two ways.
    fn after(&self, line: &[u8]) -> Option<Self> {
        Some(match *self {
            Self::Head { began: false, .. } if line.is_empty() => Self::NEXT,
            Self::Head { began: true, body } if line.is_empty() => match body {
                None | Some(Framing::Length(0)) => Self::NEXT,
                Some(Framing::Length(left)) => Self::Body { left, is_chunk: false },
                Some(Framing::Chunked) => Self::ChunkSize,
                Some(Framing::Both) => return None,
                Some(Framing::Invalid) => Self::Passed,
            },
            Self::Head { body, .. } => Self::Head { began: true, body: Framing::with(body, line) },
            Self::ChunkSize => match chunk_size(line) {
                Some(0) => Self::Trailers,
                Some(size) => Self::Body { left: size.saturating_add(2), is_chunk: true },
                None => Self::Passed,
            },
            Self::Trailers if line.is_empty() => Self::NEXT,
            Self::Trailers => Self::Trailers,
            Self::Body { .. } | Self::Passed => Self::Passed,
        })
    }
}

impl Framing {
    /// What a line adds to it.
    fn with(before: Option<Self>, line: &[u8]) -> Option<Self> {
        let Some(colon) = memchr(b':', line) else { return before };
        let (name, value) = line.split_at(colon);
        let found = if name.eq_ignore_ascii_case(b"transfer-encoding") {
            Self::Chunked
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
            digits(value).map_or(Self::Invalid, Self::Length)
        } else {
            return before;
        };
        Some(match (before, found) {
            (Some(Self::Chunked | Self::Both), Self::Length(_) | Self::Invalid)
            | (Some(Self::Length(_) | Self::Invalid | Self::Both), Self::Chunked) => Self::Both,
            (_, found) => found,
        })
    }
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    u64::from_str_radix(str::from_utf8(line.get(..digits)?).ok()?, 16).ok()
}

impl<S: AsyncRead + Unpin> AsyncRead for StrictHeads<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        this.look_at(buffer.filled_mut().get_mut(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for StrictHeads<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    /// Closes the connection for writing, and takes the rest of a request that was answered before it had come whole.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.discard.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
        }
        while !this.is_between_requests() && !this.is_upgraded.load(Ordering::Relaxed) {
            let mut discard = this.discard.take().unwrap_or_else(Discard::new);
            let next = discard.poll_next(Pin::new(&mut this.stream), context).map(|bytes| {
                this.look_at(bytes);
                bytes.is_empty()
            });
            this.discard = Some(discard);
            if ready!(next) {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
