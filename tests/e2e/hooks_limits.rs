//! Senders that take time or memory before they have proven who they are.

use std::time::Instant;

use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::harness::{Function, Platform, answer_to, raw, wait_until};

const MIB: usize = 1 << 20;
/// More than fit into the room for bodies that are not verified.
const STRANGERS: usize = 140;

#[tokio::test]
async fn a_sender_that_stalls_is_given_up() {
    let platform = Platform::start([Function::counted()]).await;
    platform.gateway.declare("github", json!({ "preset": "github", "routes": [{ "to": "counted" }] })).await;
    let begun = Instant::now();
    let half = "POST /hooks/github HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf";
    let mut stream = raw::send(platform.site.listen, half).await;
    let answer = raw::rest_of(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.to_lowercase().contains("x-skep-error: slow_body"), "{answer}");
    // An answer at once would be that of a request that is refused, and not of one that stalls.
    assert!(begun.elapsed().as_secs() > 5, "{answer}");
}

/// A request that lacks its last byte.
async fn almost_sent(platform: &Platform) -> TcpStream {
    let head = format!("POST /hooks/github HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MIB}\r\n\r\n");
    let mut stream = raw::send(platform.site.listen, head).await;
    // One that is refused may be closed before all is written.
    let _ = stream.write_all(&vec![b'x'; MIB - 1]).await;
    stream
}

#[tokio::test]
async fn strangers_cannot_take_all_memory_and_small_webhooks_pass_meanwhile() {
    let platform = Platform::start([Function::counted()]).await;
    let gateway = &platform.gateway;
    let routes = json!([{ "to": "counted", "filter": { "type": "push" } }]);
    gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(MIB / 2));
    let send = |delivery: &str, body: &str| answer_to(gateway.webhook("github", "ping", delivery, body));
    assert_eq!(send("before", &large).await.status, 202);
    let mut strangers = Vec::new();
    for _ in 0..STRANGERS {
        strangers.push(almost_sent(&platform).await);
    }
    let refused = {
        let mut last = send("large", &large).await;
        wait_until("a large body is refused", async || {
            last = send("large", &large).await;
            last.status == 503
        })
        .await;
        last
    };
    refused.assert_refused(503);
    assert_eq!((refused.header("x-skep-error"), refused.header("retry-after")), ("too_many_unverified", "1"));
    assert_eq!(send("small", "{}").await.status, 202);
    drop(strangers);
    wait_until("a large body is taken again", async || send("after", &large).await.status == 202).await;
}
