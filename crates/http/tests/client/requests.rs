//! How a request is sent.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use skep_http::{BodyError, Error, Outgoing};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::oneshot,
    time::timeout,
};

use crate::{
    HELLO, SOON,
    peer::{Peer, request_of},
    request, sent, whole, with_body,
};

#[tokio::test]
async fn a_request_says_where_it_ends() {
    async fn raw<B>(request: Request<B>) -> String
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        let (connection, peer) = Peer::connected(async move |mut stream| {
            let request = request_of(&mut stream).await;
            stream.write_all(HELLO.as_bytes()).await.unwrap();
            Some(request)
        })
        .await;
        let answer = timeout(SOON, sent(connection, request)).await.unwrap().unwrap();
        whole(answer).await.unwrap();
        peer.ended().await.unwrap()
    }
    let pieces = |pieces: Vec<&'static str>| {
        StreamBody::new(stream::iter(pieces).map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece)))))
    };
    assert_eq!(raw(request(Method::GET)).await, "GET /a?b HTTP/1.1\r\nhost: function\r\n\r\n");
    assert_eq!(raw(request(Method::POST)).await, "POST /a?b HTTP/1.1\r\nhost: function\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(
        raw(Request::options("http://away:1").body(Empty::<Bytes>::new()).unwrap()).await,
        "OPTIONS / HTTP/1.1\r\n\r\n"
    );
    // The body is what counts, not what the caller's headers say of it.
    let mut given = with_body(Full::from("hello"));
    given.headers_mut().insert("content-length", "77".parse().unwrap());
    assert_eq!(raw(given).await, "POST /a?b HTTP/1.1\r\nhost: function\r\ncontent-length: 5\r\n\r\nhello");
    assert_eq!(
        raw(with_body(pieces(vec!["hel", "", "lo"]))).await,
        "POST /a?b HTTP/1.1\r\nhost: function\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
    );
    let mut known = with_body(pieces(vec!["hel", "lo"]));
    known.headers_mut().insert("content-length", "5".parse().unwrap());
    assert_eq!(raw(known).await, "POST /a?b HTTP/1.1\r\nhost: function\r\ncontent-length: 5\r\n\r\nhello");
    // Pieces that are written from where they are, between small ones.
    let large: &'static str = "x".repeat(40_000).leak();
    assert_eq!(
        raw(with_body(pieces(vec!["a", large, large, "b"]))).await,
        format!(
            "POST /a?b HTTP/1.1\r\nhost: function\r\ntransfer-encoding: chunked\r\n\r\n\
             1\r\na\r\n9c40\r\n{large}\r\n9c40\r\n{large}\r\n1\r\nb\r\n0\r\n\r\n"
        )
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_or_has_another_length_is_the_callers_fault() {
    let piece = || Ok(Frame::data(Bytes::from("hello")));
    for (length, pieces) in [
        ("10", vec![piece(), Err(BodyError::from("gone"))]),
        ("6", vec![piece()]),
        ("4", vec![piece()]),
        ("", vec![piece(), Err("gone".into())]),
    ] {
        let (connection, peer) = Peer::connected(async move |mut stream| {
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.ok();
            Some(())
        })
        .await;
        let mut request = with_body(StreamBody::new(stream::iter(pieces)));
        if !length.is_empty() {
            request.headers_mut().insert("content-length", length.parse().unwrap());
        }
        let error = timeout(SOON, sent(connection, request)).await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Body(_)), "{length}: {error:?}");
        // The other side hears of it.
        peer.ended().await;
    }
}

#[tokio::test]
async fn the_head_does_not_wait_for_a_body_that_comes_later() {
    let (give, piece) = oneshot::channel::<&str>();
    let (connection, peer) = Peer::connected(async move |mut stream| {
        let mut head = [0; 64];
        let length = stream.read(&mut head).await.unwrap();
        assert!(head[..length].starts_with(b"POST"));
        give.send("hello").unwrap();
        request_of(&mut stream).await;
        stream.write_all(HELLO.as_bytes()).await.unwrap();
        Some(())
    })
    .await;
    let piece = stream::once(async { Ok::<_, Infallible>(Frame::data(Bytes::from(piece.await.unwrap()))) });
    let answer = timeout(SOON, sent(connection, with_body(StreamBody::new(Box::pin(piece))))).await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    peer.ended().await;
}

#[tokio::test]
async fn what_was_not_sent_because_a_connection_was_closed_comes_back_whole() {
    for said in ["", "HTTP/1.1 408 Request Timeout\r\n\r\n"] {
        let (speak, when) = oneshot::channel();
        let (closed, peer) = Peer::connected(async move |mut stream| {
            when.await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
            (!said.is_empty()).then_some(stream)
        })
        .await;
        assert!(!closed.is_closed());
        speak.send(()).unwrap();
        let seen = async {
            while !closed.is_closed() {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, seen).await.unwrap();
        let request = Outgoing::new(with_body(Full::from("hello"))).await.unwrap();
        let unsent = closed.send(request).await.unwrap_err().unsent.unwrap();
        drop(peer);

        let (connection, peer) = Peer::connected(async move |mut stream| {
            let request = request_of(&mut stream).await;
            stream.write_all(HELLO.as_bytes()).await.unwrap();
            Some(request)
        })
        .await;
        whole(connection.send(*unsent).await.unwrap()).await.unwrap();
        assert!(peer.ended().await.unwrap().ends_with("\r\n\r\nhello"));
    }
}

#[tokio::test]
async fn a_connection_carries_one_request_after_another() {
    let (mut connection, peer) = Peer::connected(async move |mut stream| {
        for _ in 0..3 {
            request_of(&mut stream).await;
            stream.write_all(HELLO.as_bytes()).await.unwrap();
        }
        Some(stream)
    })
    .await;
    for _ in 0..3 {
        let mut answer = sent(connection, with_body(Full::from("x"))).await.unwrap();
        assert!(answer.body_mut().take_connection().is_none(), "before its end");
        assert_eq!(answer.body_mut().collect().await.unwrap().to_bytes(), "hello");
        connection = answer.body_mut().take_connection().unwrap();
        assert!(answer.body_mut().take_connection().is_none(), "twice");
    }
    peer.ended().await;
}
