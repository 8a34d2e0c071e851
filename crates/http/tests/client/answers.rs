//! What an answer is taken for.

use futures_util::FutureExt;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use skep_http::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{
    HELLO, SOON, long_body,
    peer::{Peer, request_of},
    request, sent, whole, with_body,
};

/// What an answer is taken for that the other side sends and then leaves the connection open, or closes it.
async fn answered(method: Method, raw: &str, closes: bool) -> Result<(StatusCode, HeaderMap, String, bool), Error> {
    let raw = raw.to_owned();
    let (connection, peer) = Peer::connected(async move |mut stream| {
        request_of(&mut stream).await;
        stream.write_all(raw.as_bytes()).await.unwrap();
        (!closes).then_some(stream)
    })
    .await;
    let answer = timeout(SOON, async { whole(sent(connection, request(method)).await?).await }).await.unwrap();
    drop(peer);
    let (status, headers, collected, is_kept) = answer?;
    let trailers = collected.trailers().map(|trailers| format!("{trailers:?}")).unwrap_or_default();
    let body = String::from_utf8(collected.to_bytes().to_vec()).unwrap();
    Ok((status, headers, body + &trailers, is_kept))
}

#[tokio::test]
async fn each_way_to_end_an_answer_is_understood() {
    const KEPT: bool = true;
    let long = "x".repeat(100_000);
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{long}");
    let open = [
        (Method::GET, HELLO, "hello", KEPT),
        (Method::GET, long.as_str(), &long[long.len() - 100_000..], KEPT),
        (Method::GET, "HTTP/1.1 200\r\nContent-Length: 2, 2\r\ncontent-length: 2\r\n\r\nhi", "hi", KEPT),
        (Method::GET, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "", KEPT),
        (Method::GET, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: Close\r\n\r\nhi", "hi", !KEPT),
        (Method::GET, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi and more", "hi", !KEPT),
        (Method::GET, "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", "hi", !KEPT),
        (Method::GET, "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nhi", "hi", KEPT),
        (Method::HEAD, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "", KEPT),
        (Method::GET, "HTTP/1.1 204 No Content\r\n\r\n", "", KEPT),
        (Method::GET, "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", "", KEPT),
        (
            Method::GET,
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\na: b\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
            "",
            KEPT,
        ),
        (
            Method::GET,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\n\r\n",
            "hello",
            KEPT,
        ),
        (
            Method::GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
            r#"hello{"x-sum": "1"}"#,
            KEPT,
        ),
        (
            Method::GET,
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            "hi",
            !KEPT,
        ),
    ];
    for (method, raw, body, is_kept) in open {
        let (status, headers, read, kept) = answered(method, raw, false).await.unwrap();
        assert_eq!((read.as_str(), kept), (body, is_kept), "{raw}");
        assert!(!status.is_informational());
        assert!(!(headers.contains_key("transfer-encoding") && headers.contains_key("content-length")), "{raw}");
    }
    for raw in ["HTTP/1.1 200 OK\r\na: b\r\n\r\nhello", "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\nhello"] {
        let (_, _, read, kept) = answered(Method::GET, raw, true).await.unwrap();
        assert_eq!((read.as_str(), kept), ("hello", false), "{raw}");
    }
}

#[tokio::test]
async fn what_is_no_answer_or_can_be_read_in_two_ways_is_refused() {
    let headers: String = (0..200).map(|number| format!("x-{number}: 1\r\n")).collect();
    let many = format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(300_000));
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(33) + HELLO;
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunks =
        ["\r\n\r\n", "x\r\n", "-1\r\n", "11111111111111111\r\n", "2\r\nhello\r\n0\r\n\r\n", "0\r\nno trailer\r\n\r\n"];
    let refused = [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 999999 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        &many,
        &long,
        &interim,
    ];
    let chunks = chunks.map(|chunk| format!("{chunked}{chunk}"));
    for raw in refused.into_iter().chain(chunks.iter().map(String::as_str)) {
        let refused = answered(Method::GET, raw, false).await;
        assert!(matches!(refused, Err(Error::NotHttp(_))), "{raw:.80}: {refused:?}");
    }
    let cut = ["", "HTTP/1.1 200 OK\r\ncont", "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello"];
    let chunks = ["", "5\r\nhel", "5\r\nhello\r\n", "0\r\n", "0\r\nx: y\r\n"].map(|chunk| format!("{chunked}{chunk}"));
    for raw in cut.into_iter().chain(chunks.iter().map(String::as_str)) {
        let cut = answered(Method::GET, raw, true).await;
        assert!(matches!(cut, Err(Error::Closed)), "{raw}: {cut:?}");
    }
}

#[tokio::test]
async fn an_answer_of_one_that_does_not_read_on_arrives() {
    let (connection, peer) = Peer::connected(async move |mut stream| {
        let mut some = [0; 1000];
        stream.read_exact(&mut some).await.unwrap();
        stream.write_all(b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\n\r\ntoo").await.unwrap();
        // What is not read makes this a reset.
        None::<()>
    })
    .await;
    let answer = timeout(SOON, sent(connection, with_body(long_body()))).await.unwrap().unwrap();
    let (status, _, body, is_kept) = timeout(SOON, whole(answer)).await.unwrap().unwrap();
    assert_eq!((status.as_u16(), body.to_bytes().as_ref(), is_kept), (413, b"too".as_slice(), false));
    peer.ended().await;
}

#[tokio::test]
async fn after_a_change_of_the_protocol_all_bytes_pass() {
    let (connection, peer) = Peer::connected(async move |mut stream| {
        request_of(&mut stream).await;
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: shout\r\n\r\nHEL").await.unwrap();
        let mut said = [0; 2];
        stream.read_exact(&mut said).await.unwrap();
        stream.write_all(&said.to_ascii_uppercase()).await.unwrap();
        Some(())
    })
    .await;
    let mut request = request(Method::GET);
    request.headers_mut().insert("upgrade", "shout".parse().unwrap());
    let mut answer = sent(connection, request).await.unwrap();
    assert_eq!(answer.status(), 101);
    assert!(answer.body_mut().take_connection().is_none());
    let (mut reader, mut writer) = answer.into_body().into_upgraded().unwrap();
    writer.write_all(b"lo").await.unwrap();
    let mut read = String::new();
    timeout(SOON, reader.read_to_string(&mut read)).await.unwrap().unwrap();
    assert_eq!(read, "HELLO");
    peer.ended().await;
}

#[tokio::test]
async fn what_came_before_an_answer_breaks_off_can_be_passed_on_first() {
    let (connection, peer) = Peer::connected(async move |mut stream| {
        request_of(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe").await.unwrap();
        None::<()>
    })
    .await;
    let mut body = sent(connection, request(Method::GET)).await.unwrap().into_body();
    peer.ended().await;
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "he");
    // The one that passes it on writes when it has to wait.
    assert!(body.frame().now_or_never().is_none());
    assert!(matches!(body.frame().await.unwrap(), Err(Error::Closed)));
}
