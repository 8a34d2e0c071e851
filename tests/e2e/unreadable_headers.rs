//! NATS messages whose headers no client library would send, and that the one skep is built on cannot read.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    harness::{Function, Platform, Site, answer_to, wait_until},
    nats::client,
    own_nats::user,
};

/// A block of headers each, and what the dead letter says of it.
pub(crate) const UNREADABLE: [(&[u8], &str); 3] = [
    (b"NATS/1.0\r\nX-Bad: a\rb\r\n\r\n", "NAME: VALUE"),
    (b"NATS/1.0\r\nX-Bad: \xff\xfe\r\n\r\n", "UTF-8"),
    (b"NATS/1.0\r\nno colon\r\n\r\n", "NAME: VALUE"),
];

/// A connection that sends what it likes.
pub(crate) struct Raw(TcpStream);

impl Raw {
    /// As a service that may do no more than publish work and request answers.
    async fn connect(site: &Site) -> Self {
        Self::connect_as(site, "publisher").await
    }

    pub(crate) async fn connect_as(site: &Site, name: &str) -> Self {
        let (user, pass) = user(site, name);
        let options = json!({ "verbose": false, "headers": true, "user": user, "pass": pass });
        let mut raw = Self(TcpStream::connect(site.nats).await.unwrap());
        raw.0.write_all(format!("CONNECT {options}\r\n").as_bytes()).await.unwrap();
        raw.was_received().await;
        raw
    }

    pub(crate) async fn publish(&mut self, subject: &str, reply: &str, headers: &[u8], body: &str) {
        let start = format!("HPUB {subject} {reply} {} {}\r\n", headers.len(), headers.len() + body.len());
        let message = [start.as_bytes(), headers, body.as_bytes(), b"\r\n"].concat();
        self.0.write_all(&message).await.unwrap();
        self.was_received().await;
    }

    /// Waits until the server has read everything.
    async fn was_received(&mut self) {
        self.0.write_all(b"PING\r\n").await.unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"PONG\r\n") {
            let count = timeout(Duration::from_secs(10), self.0.read_buf(&mut read)).await.unwrap().unwrap();
            assert_ne!(count, 0, "{}", String::from_utf8_lossy(&read));
        }
    }
}

#[tokio::test]
async fn published_work_with_headers_that_cannot_be_read_is_dead_and_all_other_work_goes_on() {
    let platform = Platform::start([Function::cat(), Function::counted()]).await;
    let mut raw = Raw::connect(&platform.site).await;
    for (headers, _) in UNREADABLE {
        raw.publish("skep.publish.cat", "", headers, "kept").await;
    }
    raw.publish("skep.publish.counted", "", b"NATS/1.0\r\nX-Call-Id: behind-them\r\n\r\n", "fine").await;
    let queued = platform.gateway.queue("cat", "from the door").await;
    assert_eq!(platform.gateway.finished(&queued).await["state"], "succeeded");
    wait_until("what came behind them is taken up", async || {
        platform.gateway.call_status("behind-them").await.is_some()
    })
    .await;
    assert_eq!(platform.gateway.finished("behind-them").await["state"], "succeeded");

    let letters = async || answer_to(platform.gateway.get("/system/dead?function=cat")).await.json();
    wait_until("each is a dead letter", async || letters().await.as_array().unwrap().len() == UNREADABLE.len()).await;
    let letters = letters().await;
    for (_, reason) in UNREADABLE {
        let reported =
            letters.as_array().unwrap().iter().filter(|letter| letter["reason"].as_str().unwrap().contains(reason));
        assert!(reported.count() > 0, "{reason}: {letters}");
    }
    let id = letters[0]["callId"].as_str().unwrap();
    assert_eq!(platform.gateway.finished(id).await["state"], "dead");
    let shown = answer_to(platform.gateway.get(&format!("/system/dead/{id}"))).await.json();
    assert_eq!(shown["text"], "kept", "{shown}");
}

#[tokio::test]
async fn requests_with_headers_that_cannot_be_read_stop_neither_other_requests_nor_the_queue() {
    let platform = Platform::start([Function::cat()]).await;
    let mut raw = Raw::connect(&platform.site).await;
    let client = client(&platform.site).await;
    for (headers, _) in UNREADABLE {
        raw.publish("skep.call.cat", "_INBOX.nobody", headers, "x").await;
        let queued = platform.gateway.queue("cat", "from the door").await;
        assert_eq!(platform.gateway.finished(&queued).await["state"], "succeeded");
        // A request over the connection that is gone is lost, and so is one without a subscriber.
        wait_until("requests are answered", async || {
            let answer = timeout(Duration::from_secs(1), client.request("skep.call.cat", "hello".into())).await;
            answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.payload == "hello"))
        })
        .await;
    }
}

#[tokio::test]
async fn an_answer_goes_to_an_inbox_and_to_no_other_subject() {
    let platform = Platform::start([Function::counted()]).await;
    let client = client(&platform.site).await;
    let deploy = r#"{"service":"smuggled","envProcess":"id"}"#;
    for reply in ["skep.control.deploy", "$JS.API.STREAM.DELETE.SKEP_CALLS", "orders.created"] {
        client.publish_with_reply("skep.call.counted", reply, deploy.into()).await.unwrap();
    }
    let answer = client.request("skep.call.counted", "x".into()).await.unwrap();
    assert_eq!(answer.payload, "x");
    assert_eq!(platform.site.runs().len(), 1, "the others were not run");
    assert!(platform.gateway.function("smuggled").await.is_none());
}
