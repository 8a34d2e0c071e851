//! A request on its way out.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, header, request::Parts, uri::PathAndQuery};
use http_body::Body;
use tokio::io::AsyncWrite;

use crate::{
    BodyError, Result,
    message::{Coding, Message, USUAL_LENGTH, add_headers},
};

/// A request that is ready to be sent; the first piece of its body is there, if it did not have to be waited for.
#[derive(Debug)]
pub struct Outgoing<B> {
    pub(crate) method: Method,
    pub(crate) asks_for_upgrade: bool,
    message: Message<B>,
}

impl<B> Outgoing<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    /// Of the URI only path and query are sent, always as HTTP/1.1, and the length as the body has it.
    /// The caller must have removed the headers of another connection.
    ///
    /// # Errors
    ///
    /// When the body has broken off already.
    pub async fn new(request: Request<B>) -> Result<Self> {
        let (head, body) = request.into_parts();
        let coding = Coding::of(&head.headers, &body);
        let mut outgoing = Self {
            message: Message::new(head_of(&head, coding), body, coding),
            method: head.method,
            asks_for_upgrade: head.headers.contains_key(header::UPGRADE),
        };
        let mut has_waited = false;
        poll_fn(|context| {
            if outgoing.message.gather(context)? && !has_waited {
                // The body may arrive meanwhile, so that its first piece is here at the next poll: one write instead of two.
                has_waited = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Ok(()))
        })
        .await
        .map(|()| outgoing)
    }

    /// Ready when all is sent.
    pub(crate) fn poll_send(
        &mut self,
        half: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        self.message.poll_send(half, context)
    }

    /// Whether any of it was sent.
    pub(crate) fn has_begun(&self) -> bool {
        self.message.has_begun()
    }
}

/// The headers of the caller, but for those that tell where the body ends.
fn head_of(head: &Parts, coding: Coding) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(USUAL_LENGTH);
    let path = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    for part in [head.method.as_str(), " ", path, " HTTP/1.1\r\n"] {
        buffer.extend_from_slice(part.as_bytes());
    }
    add_headers(&mut buffer, &head.headers);
    coding.add_header(&mut buffer, says_that_it_is_empty(head).then_some(0));
    buffer.extend_from_slice(b"\r\n");
    buffer
}

/// Whether a request without a body says so, as those do that usually have one (RFC 9110, 8.6).
fn says_that_it_is_empty(head: &Parts) -> bool {
    matches!(head.method, Method::POST | Method::PUT | Method::PATCH)
        || head.headers.contains_key(header::CONTENT_LENGTH)
}
