//! Bodies: streamed both ways, large, and broken off.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use rustix::process::Signal;
use tokio::{sync::mpsc, time::timeout};

use crate::harness::{DEADLINE, Function, Platform, answer_to, wait_until};

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

#[tokio::test]
async fn a_process_that_streams_is_seen_as_it_writes_and_its_failure_breaks_the_answer_off() {
    let script = "sh -c 'echo one; while [ ! -e gate ]; do sleep 0.1; done; echo two; exit 3'";
    let platform = Platform::start([Function::new("stream", script).env("mode", "streaming")]).await;
    let response = platform.gateway.get("/function/stream").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut pieces = response.bytes_stream();
    assert_eq!(pieces.next().await.unwrap().unwrap(), "one\n");
    platform.site.open_gate();
    assert_eq!(pieces.next().await.unwrap().unwrap(), "two\n");
    assert!(pieces.next().await.is_some_and(|piece| piece.is_err()), "a part looks like the whole");
}

#[tokio::test]
async fn a_queued_call_of_a_process_that_streams_fails_once_and_with_its_output() {
    let script = r#"sh -c 'echo "$Http_X_Call_Id" >> runs; echo some; exit 3'"#;
    let platform = Platform::start([Function::new("stream", script).env("mode", "streaming").answers_once()]).await;
    let id = answer_to(platform.gateway.post("/async-function/stream")).await.header("x-call-id").to_owned();
    let call = platform.gateway.finished(&id).await;
    assert_eq!((call["state"].as_str(), call["status"].as_u64()), (Some("failed"), Some(500)));
    assert_eq!(platform.gateway.result(&id).await.text(), "exit status 3\nsome\n");
    assert_eq!(platform.site.runs(), [id]);
}

#[tokio::test]
async fn an_answer_that_falls_silent_is_broken_off_although_its_watchdog_hangs() {
    let stream = Function::new("stream", "sh -c 'echo one; exec sleep 600'").env("mode", "streaming");
    let platform = Platform::start([stream.annotation("skep.timeout", "10s")]).await;
    let response = platform.gateway.get("/function/stream").send().await.unwrap();
    let mut pieces = response.bytes_stream();
    assert_eq!(pieces.next().await.unwrap().unwrap(), "one\n");
    for watchdog in platform.site.processes().iter().filter(|process| process.is("fwatchdog")) {
        watchdog.signal(Signal::STOP);
    }
    let end = timeout(DEADLINE, pieces.next()).await.expect("it is held for ever");
    assert!(end.is_some_and(|piece| piece.is_err()), "a part looks like the whole");
}

#[tokio::test]
async fn a_queued_call_whose_answer_falls_silent_is_given_up() {
    // No watchdog ends a stream of events, and one that hangs ends nothing.
    let platform = Platform::start([Function::upstream().annotation("skep.timeout", "3s").attempts(2)]).await;
    let id = platform.gateway.queue("upstream/events", "").await;
    let status = platform.gateway.finished(&id).await;
    let reason = "function upstream broke off: nothing of its answer came for 5s";
    assert_eq!((&status["state"], &status["attempts"]), (&"dead".into(), &2.into()), "{status}");
    assert!(status["reason"].as_str().unwrap().starts_with(reason), "{status}");
}

#[tokio::test]
async fn processes_started_beforehand_serve_calls_of_both_kinds() {
    let function = Function::new("facts", r#"sh -c 'cat "$SKEP_REQUEST"; echo; cat'"#).env("prefork", "2");
    let platform = Platform::start([function]).await;
    for path in ["/function/facts/a?b=c", "/async-function/facts/a?b=c"] {
        let request = platform.gateway.post(path).header("X-Call-Id", path.split('/').nth(1).unwrap());
        let mut answer = answer_to(request.body("the body")).await;
        let id = answer.header("x-call-id").to_owned();
        if answer.status == 202 {
            platform.gateway.finished(&id).await;
            answer = platform.gateway.result(&id).await;
        }
        let text = answer.text();
        let (facts, body) = text.split_once('\n').unwrap_or_else(|| panic!("{text}"));
        let facts: serde_json::Value = serde_json::from_str(facts).unwrap();
        assert_eq!((answer.status, body), (200, "the body"));
        assert_eq!((facts["call_id"].as_str(), facts["path"].as_str()), (Some(id.as_str()), Some("/a")));
        assert_eq!(facts["query"], "b=c");
    }
}
