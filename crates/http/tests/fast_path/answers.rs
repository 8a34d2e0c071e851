//! What an answer looks like.

use std::{convert::Infallible, future::ready};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use skep_http::BodyError;

use crate::{Client, FAST_PATH, GET};

type Body = UnsyncBoxBody<Bytes, BodyError>;

fn whole(text: &'static str) -> Body {
    Full::from(text).map_err(|never: Infallible| match never {}).boxed_unsync()
}

fn pieces(pieces: &'static [&'static str]) -> Body {
    let pieces = pieces.iter().map(|piece| Ok(Frame::data(Bytes::from(*piece))));
    StreamBody::new(stream::iter(pieces)).boxed_unsync()
}

/// The answer as it is sent but for its date, and whether the connection is kept.
async fn sent(request: &str, answer: impl Fn() -> Response<Body> + Send + Sync + 'static) -> (String, bool) {
    let client = Client::of(FAST_PATH, move |_| ready(answer())).await;
    let (text, _) = client.sends(request.to_owned() + GET).await.sent_all().await;
    let mut dates = 0;
    let is_no_date = |line: &&str| {
        let is_date = line.starts_with("date: ") && line.ends_with(" GMT\r\n");
        dates += usize::from(is_date);
        !is_date
    };
    let text: String = text.split_inclusive('\n').filter(is_no_date).collect();
    let half = text.len() / 2;
    let is_kept = dates == 2;
    // Where both requests are of one method their answers are the same.
    (if is_kept && text[..half] == text[half..] { text[..half].to_owned() } else { text }, is_kept)
}

#[tokio::test]
async fn the_end_of_a_body_is_told_by_its_length_or_in_chunks() {
    let known = sent(GET, || Response::builder().header("x", "y").body(whole("hello")).unwrap()).await;
    assert_eq!(known, ("HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 5\r\n\r\nhello".to_owned(), true));
    let (empty, _) = sent(GET, || Response::builder().status(404).body(whole("")).unwrap()).await;
    assert_eq!(empty, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    let (chunked, is_kept) = sent(GET, || Response::new(pieces(&["hello", "", "world!"]))).await;
    let expected = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\nworld!\r\n0\r\n\r\n";
    assert_eq!((chunked.as_str(), is_kept), (expected, true));
    let announced = || Response::builder().header("content-length", "7").body(pieces(&["hello", "ab"])).unwrap();
    let (announced, is_kept) = sent(GET, announced).await;
    assert_eq!((announced.as_str(), is_kept), ("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nhelloab", true));
    let unknown = || Response::builder().status(599).body(whole("")).unwrap();
    assert_eq!(sent(GET, unknown).await.0, "HTTP/1.1 599 \r\ncontent-length: 0\r\n\r\n");
}

#[tokio::test]
async fn what_has_no_body_says_so() {
    let head = GET.replace("GET", "HEAD");
    let announced = || Response::builder().header("content-length", "7").body(whole("")).unwrap();
    let expected = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n";
    assert!(sent(&head, announced).await.0.starts_with(&format!("{expected}HTTP/1.1 200")));
    let with_body = || Response::new(whole("hello"));
    assert!(sent(&head, with_body).await.0.starts_with("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nHTTP/1.1 200"));
    let unknown = || Response::new(pieces(&["hello"]));
    assert!(sent(&head, unknown).await.0.starts_with("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200"));
    let none =
        |status| move || Response::builder().status(status).header("content-length", "7").body(whole("x")).unwrap();
    assert_eq!(sent(GET, none(StatusCode::NO_CONTENT)).await.0, "HTTP/1.1 204 No Content\r\n\r\n");
    let unchanged = "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n";
    assert_eq!(sent(GET, none(StatusCode::NOT_MODIFIED)).await.0, unchanged);
}

#[tokio::test]
async fn headers_are_sent_as_they_are_and_close_closes() {
    let closing = || Response::builder().header("connection", "Close").header("date", "today").body(whole("")).unwrap();
    let expected = "HTTP/1.1 200 OK\r\nconnection: Close\r\ndate: today\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(sent(GET, closing).await.0, expected);
    let many = || {
        let answer = Response::builder().header("set-cookie", "a").header("x", "").header("set-cookie", "b");
        answer.header("transfer-encoding", "gzip").body(whole("")).unwrap()
    };
    let (many, _) = sent(GET, many).await;
    for line in ["set-cookie: a\r\n", "set-cookie: b\r\n", "x: \r\n"] {
        assert_eq!(many.matches(line).count(), 1, "{many}");
    }
    assert!(!many.contains("gzip"), "{many}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_ends_the_connection_and_not_the_body() {
    for (length, expected) in [(None, "5\r\nhello\r\n"), (Some(9), "hello")] {
        let broken = move || {
            let mut answer = Response::builder();
            if let Some(length) = length {
                answer = answer.header("content-length", length);
            }
            // As bodies do that tell their error at a later turn.
            let later = pieces(&["hello"]).into_data_stream().chain(stream::once(async {
                tokio::task::yield_now().await;
                Err(BodyError::from("broken"))
            }));
            answer.body(StreamBody::new(later.map(|piece| piece.map(Frame::data))).boxed_unsync()).unwrap()
        };
        let (text, is_kept) = sent(GET, broken).await;
        assert!(text.ends_with(&format!("\r\n\r\n{expected}")) && !is_kept, "{text}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_announced_ends_the_connection() {
    for body in [&["hello"], &["hello, world"]] {
        let wrong = || Response::builder().header("content-length", "7").body(pieces(body)).unwrap();
        let (text, is_kept) = sent(GET, wrong).await;
        assert!(!is_kept && text.matches("HTTP/1.1").count() <= 1, "{text}");
    }
}

#[tokio::test]
async fn an_answer_without_a_body_can_be_of_any_type() {
    let client = Client::of(FAST_PATH, |_| ready(Response::new(Empty::<Bytes>::new()))).await;
    assert!(client.sends(GET).await.sent_all().await.0.ends_with("content-length: 0\r\n\r\n"));
}
