//! What one address may have of a gateway, over the machine's own address, because loopback is not counted.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use tokio::io::AsyncReadExt;

use crate::harness::{Function, Gateway, Platform, Site, answer_to, metrics_of, raw, wait_until};

const REQUEST: &str = "POST /function/cat HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";

/// An address of this machine that is not loopback: the one from which others are reached. Nothing is sent.
fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").expect("this test needs a network interface that is up");
    socket.local_addr().unwrap().ip()
}

/// A platform that listens on all addresses, and where it is reached by the machine's own one.
async fn open_platform(arguments: &[&str]) -> (Platform, SocketAddr) {
    let mut site = Site::new([Function::cat()]);
    let outside = SocketAddr::new(own_address(), site.listen.port());
    site.listen = SocketAddr::new([0, 0, 0, 0].into(), site.listen.port());
    let up = site.up(&[&["--insecure-open-admin"], arguments].concat()).await;
    (Platform { up, gateway: site.gateway.clone(), site }, outside)
}

/// The statuses of so many calls in a row.
async fn statuses(gateway: &Gateway, forwarded: &str, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        let request = gateway.post("/function/cat").header("X-Forwarded-For", forwarded).body("x");
        statuses.push(answer_to(request).await.status);
    }
    statuses
}

#[tokio::test]
async fn an_address_that_makes_too_many_requests_is_429_and_others_are_served() {
    // Slow enough that no second passes before the burst is over.
    let (platform, outside) = open_platform(&["--max-requests-per-address", "1"]).await;
    let outside = Gateway::new(format!("http://{outside}"));
    wait_until("too many requests", async || outside.call("cat", "x").await.status == 429).await;
    let mut refusals = 1;
    for (method, path) in [
        (http::Method::POST, "/function/cat"),
        (http::Method::POST, "/async-function/cat"),
        (http::Method::GET, "/system/functions"),
        (http::Method::GET, "/nothing"),
    ] {
        let mut answer = None;
        wait_until("a refusal", async || {
            answer = Some(answer_to(outside.request(method.clone(), path)).await);
            answer.as_ref().unwrap().status == 429
        })
        .await;
        let answer = answer.unwrap();
        answer.assert_refused(429);
        assert_eq!((answer.header("x-skep-error"), answer.header("retry-after")), ("too_many_requests", "1"));
        assert!(answer.text().contains("--max-requests-per-address"), "{answer:?}");
        refusals += 1;
    }
    assert_eq!(statuses(&platform.gateway, "", 20).await, [200; 20], "this machine is not counted");
    assert!(statuses(&platform.gateway, "203.0.113.7", 20).await.contains(&429), "the caller of a proxy is");
    let reported = metrics_of(platform.site.admin).await;
    let counted = reported.lines().find_map(|line| line.strip_prefix("gateway_rate_limited_requests_total "));
    assert!(counted.expect(&reported).parse::<u64>().unwrap() >= refusals, "{reported}");
    assert!(platform.up.stderr().contains("--max-requests-per-address"), "{}", platform.up.stderr());
    wait_until("the address is served again", async || outside.call("cat", "x").await.status == 200).await;
}

#[tokio::test]
async fn a_trusted_proxy_has_no_share_and_its_callers_have_each_their_own() {
    let own = own_address().to_string();
    let arguments =
        ["--trusted-proxies", &own, "--max-connections-per-address", "2", "--max-requests-per-address", "1"];
    let (_platform, outside) = open_platform(&arguments).await;
    let mut open = Vec::new();
    for _ in 0..10 {
        let mut stream = raw::send(outside, REQUEST).await;
        assert!(begins_with(&mut stream, "HTTP/1.1 200 ").await);
        open.push(stream);
    }
    let proxy = Gateway::new(format!("http://{outside}"));
    assert!(statuses(&proxy, "203.0.113.7", 20).await.contains(&429));
    assert_eq!(answer_to(proxy.get("/function/cat").header("X-Forwarded-For", "203.0.113.8")).await.status, 200);
}

#[tokio::test]
async fn an_address_with_as_many_connections_as_it_may_have_is_429_and_others_are_served() {
    let (platform, outside) = open_platform(&["--max-connections-per-address", "3"]).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = raw::send(outside, REQUEST).await;
        assert!(begins_with(&mut stream, "HTTP/1.1 200 ").await);
        open.push(stream);
    }
    // It is refused before it has sent anything.
    let refused = raw::exchange(outside, "").await;
    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    for reported in ["x-skep-error: too_many_connections\r\n", "retry-after: 1\r\n", "--max-connections-per-address"] {
        assert!(refused.contains(reported), "{reported}: {refused}");
    }
    assert!(platform.up.stderr().contains("--max-connections-per-address"), "{}", platform.up.stderr());
    assert_eq!(platform.gateway.call("cat", "x").await.status, 200, "loopback is another address");
    open.pop();
    let served = async || begins_with(&mut raw::send(outside, REQUEST).await, "HTTP/1.1 200 ").await;
    wait_until("the address is served again", served).await;
}

async fn begins_with(stream: &mut tokio::net::TcpStream, wanted: &str) -> bool {
    let mut start = vec![0; wanted.len()];
    let read = tokio::time::timeout(crate::harness::DEADLINE, stream.read_exact(&mut start)).await;
    read.expect("nothing was answered").is_ok() && start == wanted.as_bytes()
}
