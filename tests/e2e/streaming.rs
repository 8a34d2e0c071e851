//! Bodies: streamed both ways, large, and broken off.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use crate::harness::{Function, Platform, answer_to, wait_until};

#[tokio::test]
async fn an_event_arrives_before_the_next_one_is_produced() {
    let platform = Platform::start([Function::upstream()]).await;
    let request = platform.gateway.get("/function/upstream/events").header("Accept", "text/event-stream");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut pieces = response.bytes_stream();
    assert_eq!(pieces.next().await.unwrap().unwrap(), "data: one\n\n");
    std::fs::write(platform.site.path("more"), "").unwrap();
    assert_eq!(pieces.next().await.unwrap().unwrap(), "data: two\n\n");
    assert!(pieces.next().await.is_none());
}

#[tokio::test]
async fn a_piece_of_the_body_arrives_before_the_next_one_is_sent() {
    let platform = Platform::start([Function::upstream()]).await;
    let (sender, mut receiver) = mpsc::channel::<Bytes>(1);
    let pieces = stream::poll_fn(move |context| receiver.poll_recv(context)).map(Ok::<_, std::io::Error>);
    let body = reqwest::Body::wrap_stream(pieces);
    let call = answer_to(platform.gateway.post("/function/upstream/upload").body(body));
    let send = async {
        sender.send(Bytes::from("first ")).await.unwrap();
        let seen = platform.site.path("first-piece");
        wait_until("the first piece is there", async || std::fs::read(&seen).is_ok_and(|piece| piece == b"first "))
            .await;
        sender.send(Bytes::from("second")).await.unwrap();
        drop(sender);
    };
    let (answer, ()) = tokio::join!(call, send);
    assert_eq!(answer.text(), "first second");
}

#[tokio::test]
async fn a_body_of_64_megabytes_comes_back_whole() {
    let platform = Platform::start([Function::cat(), Function::new("sha256", "sha256sum")]).await;
    let body: Bytes = (0..64 * 1024 * 1024_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let answer = platform.gateway.call("cat", body.clone()).await;
    assert_eq!((answer.status, answer.body.len()), (200, body.len()));
    assert!(answer.body == body, "the body was changed on its way");

    let file = platform.site.path("body");
    std::fs::write(&file, &body).unwrap();
    let expected = std::process::Command::new("sha256sum").arg(&file).output().unwrap().stdout;
    let answer = platform.gateway.call("sha256", body).await;
    assert_eq!(answer.text().split(' ').next(), String::from_utf8(expected).unwrap().split(' ').next());
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_for_the_caller_too() {
    let platform = Platform::start([Function::upstream()]).await;
    let raw = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this";
    let response = platform.gateway.post("/function/upstream/verbatim").body(raw).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err(), "a part must not look like the whole");
    assert_eq!(platform.gateway.call("upstream/nothing", "x").await.status, 404);
}
