//! Requests and answers over real connections; the other side does exactly what a test says.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod answers;
mod both_ways;
mod peer;
mod requests;

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Collected, Empty, StreamBody};
use skep_http::{BodyError, Connection, Error, Incoming, Outgoing};

pub(crate) const SOON: Duration = Duration::from_secs(10);
pub(crate) const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

pub(crate) fn request(method: Method) -> Request<Empty<Bytes>> {
    Request::builder().method(method).uri("/a?b").header("host", "function").body(Empty::new()).unwrap()
}

pub(crate) fn with_body<B>(body: B) -> Request<B> {
    Request::post("/a?b").header("host", "function").body(body).unwrap()
}

pub(crate) async fn sent<B>(connection: Connection, request: Request<B>) -> Result<Response<Incoming>, Error>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BodyError>,
{
    connection.send(Outgoing::new(request).await?).await.map_err(|not_answered| not_answered.error)
}

/// An answer, and whether its connection can be used again.
pub(crate) async fn whole(
    mut answer: Response<Incoming>,
) -> Result<(StatusCode, HeaderMap, Collected<Bytes>, bool), Error> {
    let collected = answer.body_mut().collect().await?;
    let is_kept = answer.body_mut().take_connection().is_some();
    Ok((answer.status(), answer.headers().clone(), collected, is_kept))
}

/// 8 MiB, which no buffer on the way holds.
pub(crate) fn long_body() -> impl Body<Data = Bytes, Error = Infallible> + Send + Unpin {
    let piece = Bytes::from(vec![b'x'; 64 << 10]);
    StreamBody::new(stream::iter((0..128).map(move |_| Ok(Frame::data(piece.clone())))))
}
