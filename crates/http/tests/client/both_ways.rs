//! Answers that begin before their request has ended.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use skep_http::{BodyError, Error};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::oneshot,
    time::timeout,
};

use crate::{
    HELLO, SOON, long_body,
    peer::{Peer, begin_of, request_of},
    sent, whole, with_body,
};

#[tokio::test]
async fn a_request_is_sent_on_though_nobody_reads_its_answer() {
    let (all_read, was_read) = oneshot::channel();
    let (connection, peer) = Peer::connected(async move |mut stream| {
        begin_of(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe").await.unwrap();
        let request = request_of(&mut stream).await;
        all_read.send(request.len()).unwrap();
        stream.write_all(b"llo").await.unwrap();
        Some(stream)
    })
    .await;
    let mut answer = timeout(SOON, sent(connection, with_body(long_body()))).await.unwrap().unwrap();
    assert!(timeout(SOON, was_read).await.unwrap().unwrap() > 8 << 20);
    assert_eq!(answer.body_mut().collect().await.unwrap().to_bytes(), "hello");
    assert!(answer.body_mut().take_connection().is_some(), "all was sent and read");
    drop(peer);
}

#[tokio::test]
async fn a_request_is_sent_on_after_the_end_of_its_answer() {
    let (go_on, when) = oneshot::channel();
    let (connection, peer) = Peer::connected(async move |mut stream| {
        begin_of(&mut stream).await;
        stream.write_all(HELLO.as_bytes()).await.unwrap();
        when.await.unwrap();
        Some(request_of(&mut stream).await.len())
    })
    .await;
    let answer = timeout(SOON, sent(connection, with_body(long_body()))).await.unwrap().unwrap();
    let (_, _, body, is_kept) = whole(answer).await.unwrap();
    assert_eq!((body.to_bytes().as_ref(), is_kept), (b"hello".as_slice(), false));
    go_on.send(()).unwrap();
    assert!(peer.ended().await.unwrap() > 8 << 20);
}

#[tokio::test]
async fn an_answer_that_is_dropped_early_ends_the_request_too() {
    let (connection, peer) = Peer::connected(async move |mut stream| {
        begin_of(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe").await.unwrap();
        // Until the end, or a reset.
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.ok();
        Some(read.len())
    })
    .await;
    let endless = stream::iter(0..).then(async |_| {
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x")))
    });
    let request = with_body(StreamBody::new(Box::pin(endless)));
    let answer = timeout(SOON, sent(connection, request)).await.unwrap().unwrap();
    drop(answer);
    peer.ended().await;
}

#[tokio::test]
async fn a_request_body_that_breaks_off_ends_the_answer() {
    let (give, piece) = oneshot::channel::<()>();
    let (connection, peer) = Peer::connected(async move |mut stream| {
        begin_of(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").await.unwrap();
        Some(stream)
    })
    .await;
    let broken = stream::once(async {
        piece.await.unwrap();
        Err::<Frame<Bytes>, _>(BodyError::from("gone"))
    });
    let request = with_body(StreamBody::new(Box::pin(broken)));
    let answer = timeout(SOON, sent(connection, request)).await.unwrap().unwrap();
    give.send(()).unwrap();
    let error = timeout(SOON, answer.into_body().collect()).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Body(_)), "{error:?}");
    drop(peer);
}

#[tokio::test]
async fn an_answer_that_has_ended_is_whole_whatever_becomes_of_the_request() {
    let (give, piece) = oneshot::channel::<()>();
    let (connection, peer) = Peer::connected(async move |mut stream| {
        begin_of(&mut stream).await;
        stream.write_all(HELLO.as_bytes()).await.unwrap();
        Some(stream)
    })
    .await;
    let broken = stream::once(async {
        piece.await.unwrap();
        Err::<Frame<Bytes>, _>(BodyError::from("gone"))
    });
    let mut body = sent(connection, with_body(StreamBody::new(Box::pin(broken)))).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
    give.send(()).unwrap();
    for _ in 0..10 {
        tokio::task::yield_now().await;
        assert!(body.take_connection().is_none());
    }
    assert!(body.frame().await.is_none());
    drop(peer);
}
