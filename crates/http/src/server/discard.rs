//! Drops what a client still sends after its last answer.
//!
//! A connection that is closed while a request is still coming is reset, and a reset can destroy the answer before the client has read it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);
const PIECE: usize = 16 << 10;

/// Reads and drops for a limited time.
pub(super) struct Discard {
    end: Pin<Box<Sleep>>,
    piece: Box<[u8]>,
}

impl Discard {
    pub(super) fn new() -> Self {
        Self { end: Box::pin(sleep_until(Instant::now() + DISCARD_TIMEOUT)), piece: vec![0; PIECE].into() }
    }

    /// The next bytes; none once the client has closed the connection, it failed, or the time is up.
    pub(super) fn poll_next(
        &mut self,
        mut reader: Pin<&mut impl AsyncRead>,
        context: &mut Context<'_>,
    ) -> Poll<&mut [u8]> {
        if self.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(&mut []);
        }
        let mut buffer = ReadBuf::new(&mut self.piece);
        // After an error nothing more comes.
        let _ = ready!(reader.as_mut().poll_read(context, &mut buffer));
        let length = buffer.filled().len();
        Poll::Ready(self.piece.get_mut(..length).unwrap_or_default())
    }
}
