//! Which requests are simple, and the order in which they are answered.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use skep_http::FastPath;

use crate::{Client, FAST_PATH, GET};

const POST: &str = "POST /b?c HTTP/1.1\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\nhello";

/// Says what came.
async fn echo(request: Request<Bytes>) -> Response<Full<Bytes>> {
    let said = format!("{} {} {}\n", request.method(), request.uri(), String::from_utf8_lossy(request.body()));
    Response::new(said.into())
}

/// The bodies of what echoes said.
fn said(answers: &str) -> Vec<&str> {
    let answers = answers.split("HTTP/1.1 200 OK\r\n").skip(1);
    answers.map(|answer| answer.split_once("\r\n\r\n").unwrap().1).collect()
}

#[tokio::test]
async fn requests_are_answered_in_their_order_whether_they_come_together_or_not() {
    let mut client = Client::of(FAST_PATH, echo).await.sends([POST, GET].concat()).await;
    let first = client.reads_to("GET / \n").await;
    assert_eq!(said(&first), ["POST /b?c hello\n", "GET / \n"]);
    let (rest, given_back) = client.sends(POST).await.sent_all().await;
    assert_eq!((said(&rest), given_back), (vec!["POST /b?c hello\n"], None));
}

#[tokio::test]
async fn a_connection_is_given_back_with_all_that_is_not_simple() {
    let header = |line: &str| format!("POST / HTTP/1.1\r\nhost: a\r\n{line}\r\n\r\nhello");
    let others = [
        "GET / HTTP/1.1\r\nhost".to_owned(),
        header("content-length: 6"),
        header("content-length: 5\r\ncontent-length: 5"),
        header("content-length: 5, 5"),
        header("content-length: +5"),
        header("content-length: "),
        header("content-length: 99999999999999999999"),
        header("transfer-encoding: chunked"),
        header("expect: 100-continue"),
        header("connection: close"),
        header("connection: keep-alive, upgrade"),
        header("upgrade: h2c"),
        header("te: trailers"),
        header("x : y"),
        header(" folded"),
        header("x: \0"),
        header(&format!("x: {}", "y".repeat(FAST_PATH.max_head_bytes))),
        header(&"x: y\r\n".repeat(FAST_PATH.max_headers)),
        GET.replace("1.1", "1.0"),
        GET.replace("/ ", "http://a/ "),
        GET.replace("GET /", "OPTIONS *"),
        GET.replace("GET", "CONNECT"),
        GET.replace("/ ", "/\u{7f} "),
        "\u{1}\u{2}garbage".to_owned(),
    ];
    for other in others {
        let (answers, given_back) = Client::of(FAST_PATH, echo).await.sends(&other).await.sent_all().await;
        assert_eq!((answers.as_str(), given_back), ("taken over", Some(other.clone().into_bytes())), "{other}");
        let both = POST.to_owned() + &other;
        let (answers, given_back) = Client::of(FAST_PATH, echo).await.sends(&both).await.sent_all().await;
        assert_eq!(said(&answers), ["POST /b?c hello\ntaken over"], "{other}");
        assert_eq!(given_back, Some(other.into_bytes()));
    }
}

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_refused_and_the_connection_closed() {
    for refused in [
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nhello",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity\r\n\r\nhello",
        "GET / HTTP/1.1\r\nhost: a\n\r\n",
    ] {
        let both = [POST, refused, GET].concat();
        let (answers, given_back) = Client::of(FAST_PATH, echo).await.sends(&both).await.sent_all().await;
        assert!(answers.contains("POST /b?c hello\n") && !answers.contains("GET /"), "{answers}");
        assert!(answers.contains("HTTP/1.1 400 ") && given_back.is_none(), "{answers}");
    }
}

#[tokio::test]
async fn limits_are_to_the_byte() {
    let fast_path = FastPath { max_headers: 1, max_head_bytes: GET.len(), idle: None };
    let (answers, given_back) = Client::of(fast_path, echo).await.sends(GET).await.sent_all().await;
    assert_eq!((said(&answers).len(), given_back), (1, None));
    for fast_path in [FastPath { max_headers: 0, ..fast_path }, FastPath { max_head_bytes: GET.len() - 1, ..fast_path }]
    {
        let (answers, given_back) = Client::of(fast_path, echo).await.sends(GET).await.sent_all().await;
        assert_eq!((answers.as_str(), given_back.as_deref()), ("taken over", Some(GET.as_bytes())));
    }
}
