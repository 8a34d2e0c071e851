//! Passes the output of a process to the answer: buffered until it is complete, or streamed.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    answer::BoxError,
    fork::{cgi, conversation::CallError, pipes::Reader},
};

/// The most chunks that wait between the process and the client.
const PIECES: usize = 4;
/// How long an output is left unread at first. Most outputs are complete after this time, so they can be read in one piece. Output that does not fit into the pipe waits too.
const READ_DELAY: Duration = Duration::from_millis(10);

/// When an output is streamed before the process has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holding {
    /// How many bytes are buffered.
    pub(super) most: usize,
    /// What to do with more than that: stream it, or refuse it if a later failure could not be shown to the client.
    pub(super) passes_on: bool,
    /// It begins with the head of a CGI answer, which is buffered until it is complete.
    pub(super) has_head: bool,
    /// It is not read at first.
    pub(super) waits: bool,
}

/// Reads the output; no byte is lost if a future is dropped while it waits.
#[derive(Debug)]
pub(super) struct Output {
    pipe: Reader,
    unsent: BytesMut,
    total: u64,
    state: State,
    holding: Holding,
}

#[derive(Debug)]
enum State {
    Held(Option<oneshot::Sender<Stream>>),
    Passed(mpsc::Sender<Piece>),
}

type Piece = Result<Bytes, BoxError>;

/// An output that is streamed.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) first: Bytes,
    pieces: mpsc::Receiver<Piece>,
}

/// The rest of a stream as the body of an answer.
pub(crate) struct StreamedBody {
    first: Bytes,
    pieces: mpsc::Receiver<Piece>,
    error: Option<BoxError>,
    /// Tells the conversation that nobody reads the output any more.
    _gone: DropGuard,
}

impl Output {
    /// The second one is notified when streaming begins.
    pub(super) fn new(pipe: Reader, holding: Holding) -> (Self, oneshot::Receiver<Stream>) {
        let (sender, stream) = oneshot::channel();
        let state = State::Held(Some(sender));
        (Self { pipe, unsent: BytesMut::new(), total: 0, state, holding }, stream)
    }

    /// Reads and streams until the end.
    pub(super) async fn read_all(&mut self) -> Result<(), CallError> {
        if self.holding.waits {
            sleep(READ_DELAY).await;
        }
        while self.read().await? {
            self.pass_on().await?;
        }
        Ok(())
    }

    /// The same for what is still in the pipe; `false` if that did not end within `patience`. Time spent waiting for the client does not count.
    pub(super) async fn read_rest(&mut self, patience: Duration) -> Result<bool, CallError> {
        let mut left = patience;
        loop {
            self.pass_on().await?;
            let begun = Instant::now();
            match timeout(left, self.read()).await {
                Err(_) => return Ok(false),
                Ok(Ok(true)) => left = left.saturating_sub(begun.elapsed()),
                Ok(Ok(false)) => return Ok(true),
                Ok(Err(error)) => return Err(error.into()),
            }
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The whole output, if none of it was streamed.
    pub(super) fn whole(&mut self) -> Option<Bytes> {
        match self.state {
            State::Held(_) => Some(self.unsent.split().freeze()),
            State::Passed(_) => None,
        }
    }

    /// Makes sure that the client does not take a partial output for the whole.
    pub(super) async fn break_off(self, reason: String) {
        if let State::Passed(pieces) = &self.state {
            // There is no reader for it.
            let _ = pieces.send(Err(io::Error::other(reason).into())).await;
        }
    }

    /// `false` at the end.
    async fn read(&mut self) -> io::Result<bool> {
        let length = self.pipe.read(&mut self.unsent).await?;
        self.total += length as u64;
        Ok(length > 0)
    }

    /// Waits for the client if it is slower than the process.
    async fn pass_on(&mut self) -> Result<(), CallError> {
        if let State::Held(sender) = &mut self.state {
            if !goes_out(self.holding, &self.unsent)? {
                return Ok(());
            }
            let (sender, first) = (sender.take(), self.unsent.split().freeze());
            let (pieces, receiver) = mpsc::channel(PIECES);
            self.state = State::Passed(pieces);
            // The conversation ends when its caller is gone.
            let _ = sender.map(|sender| sender.send(Stream { first, pieces: receiver }));
        } else if let (State::Passed(pieces), false) = (&self.state, self.unsent.is_empty()) {
            let place = pieces.reserve().await.map_err(|_| CallError::Gone)?;
            place.send(Ok(self.unsent.split().freeze()));
        }
        Ok(())
    }
}

/// Whether streaming begins when this much is buffered.
fn goes_out(holding: Holding, held: &[u8]) -> Result<bool, CallError> {
    if held.len() <= holding.most {
        return Ok(false);
    }
    if !holding.passes_on {
        return Err(CallError::TooLarge);
    }
    if !holding.has_head || cgi::head_end(held).is_some() {
        return Ok(true);
    }
    if held.len() > cgi::MAX_HEAD { Err(CallError::BadHead("it is too long")) } else { Ok(false) }
}

impl Stream {
    /// The body after its first `skipped` bytes, and the token that is cancelled when nobody reads it any more.
    pub(super) fn into_body(mut self, skipped: usize) -> (StreamedBody, CancellationToken) {
        let gone = CancellationToken::new();
        let first = self.first.split_off(skipped.min(self.first.len()));
        (StreamedBody { first, pieces: self.pieces, error: None, _gone: gone.clone().drop_guard() }, gone)
    }
}

impl Body for StreamedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if !this.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.first)))));
        }
        if let Some(error) = this.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match ready!(this.pieces.poll_recv(context)) {
            Some(Ok(piece)) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            Some(Err(error)) => {
                // On an error the server discards what it has not sent yet, so it gets time to send it first.
                this.error = Some(error);
                context.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
