//! The reading half of a connection, with what was read and not used yet.

use std::{
    io::{self, Cursor},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, Chain},
    net::tcp::OwnedReadHalf,
};
use tokio_util::io::poll_read_buf;

/// Room for a read; more when reads fill it.
const FIRST_ROOM: usize = 8 << 10;
const MAX_ROOM: usize = 256 << 10;

/// What was read already, and then what comes.
pub type Upgraded = Chain<Cursor<Bytes>, OwnedReadHalf>;

#[derive(Debug)]
pub(crate) struct Reader {
    half: OwnedReadHalf,
    pub(crate) buffer: BytesMut,
    room: usize,
}

impl Reader {
    pub(crate) fn new(half: OwnedReadHalf) -> Self {
        Self { half, buffer: BytesMut::new(), room: FIRST_ROOM }
    }

    /// Adds to the buffer what has come; 0 is the end.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.buffer.reserve(self.room);
        let read = ready!(poll_read_buf(Pin::new(&mut self.half), context, &mut self.buffer))?;
        if read >= self.room {
            self.room = MAX_ROOM.min(self.room * 2);
        }
        Poll::Ready(Ok(read))
    }

    /// The same while nothing is expected: room is made only when something has come.
    pub(crate) fn poll_unasked(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.half.as_ref().poll_read_ready(context))?;
        self.poll_read(context)
    }

    /// Whether anything was sent, or the end, though nothing was asked for.
    pub(crate) fn is_disturbed(&self) -> bool {
        // Where nothing has come the kernel is not asked.
        let nothing = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        !self.buffer.is_empty() || !self.half.try_read(&mut [0]).is_err_and(nothing)
    }

    /// Gives back the room that a long answer took.
    pub(crate) fn shrink(&mut self) {
        if self.room > FIRST_ROOM {
            (self.buffer, self.room) = (BytesMut::new(), FIRST_ROOM);
        }
    }

    /// All that comes, without a meaning.
    pub(crate) fn into_rest(self) -> Upgraded {
        Cursor::new(self.buffer.freeze()).chain(self.half)
    }
}
