//! A message on its way out.

use std::{
    io::{self, IoSlice, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, header};
use http_body::Body;
use tokio::io::AsyncWrite;

use crate::{BodyError, Error, Result, headers::content_length};

/// Pieces of a body are copied behind pending bytes up to this length; larger ones are written from where they are.
const TOGETHER: usize = 16 << 10;
/// Of a head and a small body.
pub(crate) const USUAL_LENGTH: usize = 1 << 10;

/// What is to be written, and the body that the rest of it comes from.
#[derive(Debug)]
pub(crate) struct Message<B> {
    buffer: Vec<u8>,
    /// Of the buffer.
    written: usize,
    has_begun: bool,
    /// What comes after the buffer, and what comes after that.
    piece: Bytes,
    after_piece: &'static [u8],
    body: B,
    coding: Coding,
}

/// How the end of the body is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// How many more bytes are to come; never 0.
    Length(u64),
    Chunked,
    Ended,
}

impl<B> Message<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    /// The body follows the head, as long as the coding says.
    pub(crate) fn new(head: Vec<u8>, body: B, coding: Coding) -> Self {
        Self { buffer: head, written: 0, has_begun: false, piece: Bytes::new(), after_piece: b"", body, coding }
    }

    /// Ready when all is sent.
    pub(crate) fn poll_send(
        &mut self,
        half: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        loop {
            let waits = self.gather(context)?;
            while self.has_more_to_write() {
                ready!(self.poll_write(half, context))?;
            }
            self.buffer.clear();
            self.written = 0;
            if waits {
                return Poll::Pending;
            }
            if self.coding == Coding::Ended {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Whether any of it was sent.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Takes from the body what there is, up to what is written at once. True if the body has to be waited for.
    pub(crate) fn gather(&mut self, context: &mut Context<'_>) -> Result<bool> {
        while self.coding != Coding::Ended && !self.has_large_piece() && self.buffer.len() < TOGETHER {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Pending => return Ok(true),
                Poll::Ready(None) => self.end()?,
                Poll::Ready(Some(Err(error))) => return Err(Error::Body(error.into())),
                // Trailers may be dropped on the way (RFC 9110, 6.5.1).
                Poll::Ready(Some(Ok(frame))) => self.add(frame.into_data().unwrap_or_default())?,
            }
        }
        Ok(false)
    }

    fn add(&mut self, piece: Bytes) -> Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        match self.coding {
            Coding::Length(left) => {
                let left = left.checked_sub(piece.len() as u64).ok_or_else(|| wrong_length("longer"))?;
                self.coding = Coding::length(left);
            }
            Coding::Chunked => {
                write!(self.buffer, "{:x}\r\n", piece.len())?;
                self.after_piece = b"\r\n";
            }
            Coding::Ended => return Err(wrong_length("longer")),
        }
        if self.buffer.len() + piece.len() <= TOGETHER {
            self.buffer.extend_from_slice(&piece);
            self.buffer.extend_from_slice(self.after_piece);
            self.after_piece = b"";
        } else {
            self.piece = piece;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        match self.coding {
            Coding::Ended => {}
            Coding::Length(_) => return Err(wrong_length("shorter")),
            Coding::Chunked => self.buffer.extend_from_slice(b"0\r\n\r\n"),
        }
        self.coding = Coding::Ended;
        Ok(())
    }

    /// Nothing may be added to the buffer before it is out with what comes after it.
    fn has_large_piece(&self) -> bool {
        !self.piece.is_empty() || !self.after_piece.is_empty()
    }

    fn has_more_to_write(&self) -> bool {
        self.written < self.buffer.len() || self.has_large_piece()
    }

    fn poll_write(&mut self, half: &mut (impl AsyncWrite + Unpin), context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let buffer = self.buffer.get(self.written..).unwrap_or_default();
        let half = Pin::new(half);
        let mut count = if self.has_large_piece() {
            let slices = [IoSlice::new(buffer), IoSlice::new(&self.piece), IoSlice::new(self.after_piece)];
            ready!(half.poll_write_vectored(context, &slices))?
        } else {
            ready!(half.poll_write(context, buffer))?
        };
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.has_begun = true;
        let of_buffer = count.min(buffer.len());
        self.written += of_buffer;
        count -= of_buffer;
        let of_piece = count.min(self.piece.len());
        self.piece.advance(of_piece);
        self.after_piece = self.after_piece.get(count - of_piece..).unwrap_or_default();
        Poll::Ready(Ok(()))
    }
}

impl Coding {
    /// The length as the body has it, or as the headers say.
    pub(crate) fn of(headers: &HeaderMap, body: &impl Body) -> Self {
        if body.is_end_stream() {
            return Self::Ended;
        }
        match body.size_hint().exact().or_else(|| content_length(headers)) {
            Some(length) => Self::length(length),
            None => Self::Chunked,
        }
    }

    fn length(length: u64) -> Self {
        if length == 0 { Self::Ended } else { Self::Length(length) }
    }

    /// What a head says of the body that follows; of none it says this length, if any.
    pub(crate) fn add_header(self, head: &mut Vec<u8>, of_none: Option<u64>) {
        let length = match self {
            Self::Length(length) => Some(length),
            Self::Ended => of_none,
            Self::Chunked => return head.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        };
        if let Some(length) = length {
            // A vector takes all that is written.
            let _ = write!(head, "content-length: {length}\r\n");
        }
    }
}

fn wrong_length(than: &str) -> Error {
    Error::Body(format!("it is {than} than its Content-Length").into())
}

/// All headers but those that tell where the body ends.
pub(crate) fn add_headers(head: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        if *name == header::CONTENT_LENGTH || *name == header::TRANSFER_ENCODING {
            continue;
        }
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::poll_fn};

    use futures_util::{StreamExt, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    /// What is read of a body of these pieces through a pipe that holds so many bytes.
    async fn sent(pieces: &'static [usize], holds: usize) -> String {
        let pieces = stream::iter(pieces).map(|length| Ok::<_, Infallible>(Frame::data("x".repeat(*length).into())));
        let mut message = Message::new(b"head\r\n\r\n".to_vec(), StreamBody::new(pieces), Coding::Chunked);
        let (mut writer, mut reader) = duplex(holds);
        let mut read = String::new();
        let send = async move { poll_fn(|context| message.poll_send(&mut writer, context)).await };
        let (result, _) = tokio::join!(send, reader.read_to_string(&mut read));
        result.unwrap();
        read
    }

    #[tokio::test]
    async fn whatever_a_connection_takes_at_once_all_goes_out_in_order() {
        const PIECES: &[usize] = &[1, TOGETHER + 1, 5, TOGETHER - 7, TOGETHER, 3];
        let chunks: String = PIECES.iter().map(|length| format!("{length:x}\r\n{}\r\n", "x".repeat(*length))).collect();
        let whole = format!("head\r\n\r\n{chunks}0\r\n\r\n");
        for holds in (1..60).chain([1_000, 20_000, 1_000_000]) {
            assert!(sent(PIECES, holds).await == whole, "{holds} bytes at once");
        }
    }
}
