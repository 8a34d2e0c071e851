//! The body of an answer on its way in.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::net::tcp::OwnedWriteHalf;

use crate::{
    Connection, Error,
    reader::{Reader, Upgraded},
};

use super::{
    decoder::{Decoded, Decoder},
    upload::Upload,
};

/// Streams an answer. Dropped before its end it closes the connection.
#[derive(Debug)]
pub struct Incoming {
    /// `None` when the connection was taken.
    reader: Option<Reader>,
    decoder: Decoder,
    upload: Upload,
    keep_alive: bool,
    /// The error to return at the next poll.
    error: Option<Error>,
}

impl Incoming {
    pub(crate) fn new(reader: Reader, decoder: Decoder, upload: Upload, keep_alive: bool) -> Self {
        Self { reader: Some(reader), decoder, upload, keep_alive, error: None }
    }

    /// The connection, once the answer has ended, if it can take another request.
    pub fn take_connection(&mut self) -> Option<Connection> {
        if !self.decoder.is_ended() || !self.keep_alive {
            return None;
        }
        let mut context = Context::from_waker(Waker::noop());
        self.upload.poll(&mut context).ok()?;
        let mut reader = self.reader.take_if(|_| matches!(self.upload, Upload::Sent(_)))?;
        let Upload::Sent(writer) = mem::replace(&mut self.upload, Upload::Failed) else { return None };
        reader.shrink();
        let connection = Connection { reader, writer };
        (!connection.is_closed()).then_some(connection)
    }

    /// Both directions of the connection, after an answer that changes its protocol (101).
    pub fn into_upgraded(mut self) -> Option<(Upgraded, OwnedWriteHalf)> {
        let reader = self.reader.take()?;
        match mem::replace(&mut self.upload, Upload::Failed) {
            Upload::Sent(writer) => Some((reader.into_rest(), writer)),
            Upload::UnderWay(_) | Upload::Failed => None,
        }
    }

    fn poll_decoded(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.upload.poll(context)?;
        let Some(reader) = &mut self.reader else { return Poll::Ready(None) };
        loop {
            match self.decoder.decode(&mut reader.buffer)? {
                Some(Decoded::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Decoded::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Some(Decoded::End) => return Poll::Ready(None),
                None if ready!(reader.poll_read(context))? == 0 => self.decoder.close()?,
                None => {}
            }
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if let Some(error) = this.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let polled = this.poll_decoded(context);
        if let Poll::Ready(Some(Err(error))) = polled {
            // This poll lets the reader pass on what came before the error.
            this.error = Some(error);
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.decoder.is_ended()
    }

    fn size_hint(&self) -> SizeHint {
        self.decoder.size_hint()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if self.decoder.is_ended() {
            mem::replace(&mut self.upload, Upload::Failed).leave();
        }
    }
}
