//! A connection between two exchanges.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use tokio::net::{TcpStream, tcp::OwnedWriteHalf};

use crate::{BodyError, Error, Incoming, NotAnswered, Outgoing, Result, reader::Reader};

use super::{
    head::{Head, take_head},
    upload::Upload,
};

/// A connection on which nothing is under way.
#[derive(Debug)]
pub struct Connection {
    pub(crate) reader: Reader,
    pub(crate) writer: OwnedWriteHalf,
}

impl Connection {
    pub fn new(stream: TcpStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self { reader: Reader::new(reader), writer }
    }

    /// Whether the other side has closed it, or sent what nobody asked for; then it is of no use.
    pub fn is_closed(&self) -> bool {
        self.reader.is_disturbed()
    }

    /// Sends a request, and returns when the head of its answer is there.
    ///
    /// Interim answers are passed over; one that changes the protocol is refused unless the request has an `Upgrade`.
    ///
    /// # Errors
    ///
    /// After each the connection is closed.
    /// It has the request if nothing of it was sent, as when the connection is closed already.
    pub async fn send<B>(self, mut outgoing: Outgoing<B>) -> Result<Response<Incoming>, NotAnswered<B>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        if self.is_closed() {
            return Err(NotAnswered { error: Error::Closed, unsent: Some(outgoing.into()) });
        }
        let Self { mut reader, mut writer } = self;
        let (mut sent, mut interim) = (None, 0);
        let answered = poll_fn(|context| {
            if sent.is_none() {
                match outgoing.poll_send(&mut writer, context) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(())) => sent = Some(Ok(())),
                    // A server that does not read on may have answered.
                    Poll::Ready(Err(Error::Io(error))) if outgoing.has_begun() => sent = Some(Err(error)),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                }
            }
            poll_head(&mut reader, &outgoing, &mut interim, context)
        })
        .await;
        match (answered, sent) {
            (Ok(head), sent) => {
                let upload = match sent {
                    None => Upload::under_way(outgoing, writer),
                    Some(Ok(())) => Upload::Sent(writer),
                    Some(Err(_)) => Upload::Failed,
                };
                Ok(Response::from_parts(head.parts, Incoming::new(reader, head.decoder, upload, head.keep_alive)))
            }
            // What broke the sending is the cause.
            (Err(_), Some(Err(error))) => Err(NotAnswered { error: Error::Io(error), unsent: None }),
            (Err(error), _) => {
                let is_unsent = !outgoing.has_begun() && !matches!(error, Error::Body(_));
                Err(NotAnswered { error, unsent: is_unsent.then(|| outgoing.into()) })
            }
        }
    }
}

fn poll_head<B>(
    reader: &mut Reader,
    request: &Outgoing<B>,
    interim: &mut u32,
    context: &mut Context<'_>,
) -> Poll<Result<Head>> {
    loop {
        if ready!(reader.poll_read(context))? == 0 {
            return Poll::Ready(Err(Error::Closed));
        }
        if let Some(head) = take_head(&mut reader.buffer, request, interim)? {
            return Poll::Ready(Ok(head));
        }
    }
}
