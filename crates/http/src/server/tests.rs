use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router, routing::get};
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower_http::add_extension::AddExtension;

use crate::Runtimes;

use super::*;

struct Fixture {
    address: SocketAddr,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
}

/// A server that does not linger.
async fn start(router: Router, limits: HttpLimits, grace: Duration) -> Fixture {
    start_with(router, limits, Drain { linger: Duration::ZERO, grace }).await
}

async fn start_with(router: Router, limits: HttpLimits, drain: Drain) -> Fixture {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let (config, stop) =
        (ServeConfig { limits, proxies: Vec::new(), tls: None, drain, readiness: None }, shutdown.clone());
    let served = tokio::spawn(async move {
        let runtimes = Runtimes::new(2);
        serve(listener, move |peer| AddExtension::new(router.clone(), peer), config, &runtimes, stop).await;
        runtimes.stop();
    });
    Fixture { address, shutdown, served }
}

async fn send(fixture: &Fixture, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(fixture.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn answer_to(fixture: &Fixture, request: &str) -> String {
    all_of(send(fixture, request).await).await
}

async fn all_of(mut stream: TcpStream) -> String {
    let mut text = String::new();
    // A connection that is cut may end with an error after its last byte.
    let _ = timeout(Duration::from_secs(5), stream.read_to_string(&mut text)).await.unwrap();
    text
}

/// A handler that says when it runs and then waits to be let go.
fn held() -> (Router, Arc<Notify>, Arc<Notify>) {
    let (running, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&running), Arc::clone(&go));
    let handler = async move || {
        tell.notify_one();
        wait.notified().await;
        "done"
    };
    (Router::new().route("/", get(handler)), running, go)
}

#[tokio::test]
async fn connections_that_wait_when_a_server_stops_accepting_are_served() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let router = Router::new().route("/", get(async || "done"));
    let make = move |peer| AddExtension::new(router.clone(), peer);
    let server = Server::new(HttpLimits::default(), Connections::default(), make, |_: &Event<'_>| {});
    server.accept(listener, &Runtimes::new(0), std::future::ready(())).await;
    assert!(all_of(client).await.ends_with("done"));
}

#[tokio::test]
async fn the_peer_is_known_and_bad_heads_are_refused() {
    let peer = async |Extension(peer): Extension<Peer>| peer.ip.to_str().unwrap().to_owned();
    let limits = HttpLimits {
        header_read_timeout: Some(Duration::from_secs(1)),
        max_headers: 3,
        max_header_bytes: 1024,
        ..HttpLimits::default()
    };
    let fixture = start(Router::new().route("/", get(peer)), limits, Duration::ZERO).await;
    let good = answer_to(&fixture, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(good.starts_with("HTTP/1.1 200") && good.ends_with("127.0.0.1"), "{good}");
    let many = answer_to(&fixture, "GET / HTTP/1.1\r\nHost: a\r\nB: 1\r\nC: 1\r\nD: 1\r\n\r\n").await;
    assert!(many.starts_with("HTTP/1.1 431"), "{many}");
    let long = answer_to(&fixture, &format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(2000))).await;
    assert!(long.starts_with("HTTP/1.1 431"), "{long}");
    let slow = answer_to(&fixture, "GET / HTTP/1.1\r\nHo").await;
    assert!(!slow.contains("200"), "{slow}");
}

#[tokio::test]
async fn a_request_that_is_answered_early_can_be_sent_to_its_end() {
    let router = Router::new().route("/", get(async || "no").post(async || "no"));
    let fixture = start(router, HttpLimits::default(), Duration::ZERO).await;
    let length = "Host: a\r\nContent-Length: 300000";
    let ambiguous = format!("POST / HTTP/1.1\r\n{length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    let large = format!("POST / HTTP/1.1\r\n{length}\r\nLarge: {}\r\n\r\n", "a".repeat(100_000));
    for (status, head) in [(200, format!("POST / HTTP/1.1\r\n{length}\r\n\r\n")), (400, ambiguous), (431, large)] {
        let mut stream = send(&fixture, &head).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
        for _ in 0..3 {
            stream.write_all(&[b'a'; 100_000]).await.unwrap();
            // The reset of a connection that is closed already comes after the first write.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn shutdown_lets_what_is_in_flight_end() {
    let (router, running, go) = held();
    let fixture = start(router, HttpLimits::default(), Duration::from_secs(5)).await;
    let idle = send(&fixture, "").await;
    let busy = send(&fixture, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    running.notified().await;
    fixture.shutdown.cancel();
    assert_eq!(all_of(idle).await, "");
    assert!(TcpStream::connect(fixture.address).await.is_err(), "nothing is accepted any more");
    go.notify_one();
    assert!(all_of(busy).await.ends_with("done"));
    fixture.served.await.unwrap();
}

#[tokio::test]
async fn while_it_lingers_every_call_is_answered_and_its_connection_closed() {
    let router = Router::new().route("/", get(async || "done"));
    let drain = Drain { linger: Duration::from_secs(600), grace: Duration::ZERO };
    let fixture = start_with(router, HttpLimits::default(), drain).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut kept = send(&fixture, request).await;
    let mut first = [0; 1024];
    let length = kept.read(&mut first).await.unwrap();
    assert!(!String::from_utf8_lossy(&first[..length]).contains("connection: close"));
    fixture.shutdown.cancel();
    kept.write_all(request.as_bytes()).await.unwrap();
    for answer in [all_of(kept).await, answer_to(&fixture, request).await] {
        assert!(answer.contains("connection: close") && answer.ends_with("done"), "{answer}");
    }
}

#[tokio::test]
async fn after_it_has_lingered_idle_connections_are_closed() {
    let drain = Drain { linger: Duration::from_millis(50), grace: Duration::from_secs(5) };
    let fixture = start_with(Router::new(), HttpLimits::default(), drain).await;
    let idle = send(&fixture, "").await;
    fixture.shutdown.cancel();
    assert_eq!(all_of(idle).await, "");
    fixture.served.await.unwrap();
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_period_is_cut() {
    let (router, running, _go) = held();
    let fixture = start(router, HttpLimits::default(), Duration::from_millis(50)).await;
    let busy = send(&fixture, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    running.notified().await;
    fixture.shutdown.cancel();
    assert_eq!(all_of(busy).await, "");
    fixture.served.await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_request() {
    struct Tell(Arc<Notify>);
    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let (running, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell_running, tell) = (Arc::clone(&running), Arc::clone(&dropped));
    let handler = async move || {
        let _tell = Tell(tell);
        tell_running.notify_one();
        std::future::pending::<()>().await;
    };
    let fixture = start(Router::new().route("/", get(handler)), HttpLimits::default(), Duration::ZERO).await;
    let client = send(&fixture, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    running.notified().await;
    drop(client);
    timeout(Duration::from_secs(5), dropped.notified()).await.unwrap();
}

/// The preface of HTTP/2, with settings that say nothing.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// `GET http://a/`, in one frame of headers.
const GET: &[u8] = b"\0\0\x06\x01\x05\0\0\0\x01\x82\x84\x86\x41\x01a";
const GOAWAY: u8 = 7;

/// The kinds of the frames that come until the connection is closed.
async fn frames_of(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What was not read before the other side closed may end it with an error.
    let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await.expect("it is not closed");
    let (mut rest, mut kinds) = (bytes.as_slice(), Vec::new());
    while let [high, middle, low, kind, ..] = *rest {
        kinds.push(kind);
        rest = &rest[9 + usize::from(high) * 65536 + usize::from(middle) * 256 + usize::from(low)..];
    }
    kinds
}

#[tokio::test]
async fn a_connection_of_http2_that_asks_for_nothing_is_closed() {
    let second = Duration::from_millis(500);
    let limits = HttpLimits { header_read_timeout: Some(second), write_timeout: 3 * second, ..HttpLimits::default() };
    let fixture = start(Router::new().route("/", get(async || "done")), limits, Duration::ZERO).await;
    for half in [&b"PRI "[..], b"PRI * HTTP/2.0\r\n"] {
        let mut stream = TcpStream::connect(fixture.address).await.unwrap();
        stream.write_all(half).await.unwrap();
        frames_of(stream).await;
    }
    let mut stream = TcpStream::connect(fixture.address).await.unwrap();
    stream.write_all(HTTP2).await.unwrap();
    assert!(frames_of(stream).await.contains(&GOAWAY), "a client learns that it should not ask here again");
    let mut stream = TcpStream::connect(fixture.address).await.unwrap();
    stream.write_all(&[HTTP2, GET].concat()).await.unwrap();
    let frames = frames_of(stream).await;
    assert!(frames.contains(&1) && frames.contains(&GOAWAY), "{frames:?}");
}

/// Whether an answer without an end, of which its client reads nothing, is dropped.
async fn drops_what_is_not_read(begin: &[u8]) {
    struct Endless(Arc<Notify>);
    impl Drop for Endless {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let dropped = Arc::new(Notify::new());
    let tell = Arc::clone(&dropped);
    let endless = async move || {
        let endless = Endless(tell);
        axum::body::Body::from_stream(futures_util::stream::repeat_with(move || {
            let _ = &endless;
            Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 8192]))
        }))
    };
    let limits = HttpLimits { write_timeout: Duration::from_secs(1), ..HttpLimits::default() };
    let fixture = start(Router::new().route("/", get(endless)), limits, Duration::ZERO).await;
    let mut client = TcpStream::connect(fixture.address).await.unwrap();
    client.write_all(begin).await.unwrap();
    timeout(Duration::from_secs(60), dropped.notified()).await.expect("it is held for ever");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up() {
    drops_what_is_not_read(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up_on_hypers_way_too() {
    drops_what_is_not_read(b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n").await;
}

#[tokio::test]
async fn a_stream_of_http2_that_is_not_read_is_given_up() {
    drops_what_is_not_read(&[HTTP2, GET].concat()).await;
}
