//! Requests that two readers could understand in different ways: each listener refuses them, wherever they come on a connection.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use tokio::{io::AsyncWriteExt, time::sleep};

use crate::harness::{Function, Gateway, Site, free_address, raw};

/// Long enough that what follows is not read together with what came before.
const PAUSE: Duration = Duration::from_millis(30);

/// The rest of a request line and the head behind it, up to the end of the head.
const AMBIGUOUS: [&str; 14] = [
    " HTTP/1.1\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    " HTTP/1.1\r\nHost: localhost\nContent-Length: 0\r\n\r\n",
    " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\n\r\n",
    " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\n",
    " HTTP/1.1\r\nHost: localhost\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n",
    " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: identity, chunked\r\n\r\n",
    " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
    " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5, 5\r\n\r\n",
    " HTTP/1.1\r\nHost: localhost\r\nX: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
];

/// What comes on the connection first: nothing, a request that is read on the fast path, and two after which hyper reads.
fn before(start: &str) -> [String; 4] {
    let head = format!("{start} HTTP/1.1\r\nHost: localhost\r\n");
    [
        String::new(),
        format!("{head}\r\n"),
        format!("{head}TE: trailers\r\n\r\n"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n1;a\r\n\n\r\n0\r\n\r\n"),
    ]
}

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_400_on_each_listener_wherever_it_comes() {
    let api: SocketAddr = free_address();
    let mut site = Site::new([Function::cat()]);
    site.gateway = Gateway::new(format!("http://{api}"));
    let up = site.up(&["--admin-api-listen", &api.to_string()]).await;
    let listeners = [(site.listen, "GET /function/cat"), (api, "GET /system/functions"), (site.admin, "GET /healthz")];
    let rounds = listeners.iter().flat_map(|(listener, start)| {
        before(start).into_iter().flat_map(move |before| {
            AMBIGUOUS
                .map(move |head| (before.clone(), head))
                .into_iter()
                .map(move |(before, head)| check(*listener, start, before, head))
        })
    });
    join_all(rounds).await;
    assert!(!up.stderr().contains("panicked"), "{}", up.stderr());
}

async fn check(listener: SocketAddr, start: &str, before: String, head: &str) {
    for is_in_pieces in [false, true] {
        let request = format!("{start}{head}");
        // A whole request that another reader may see in the body.
        let rest = format!("0\r\n\r\n{start} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut stream = raw::send(listener, &before).await;
        let (first, second) = request.split_at(if is_in_pieces { start.len() - 3 } else { 0 });
        for piece in [first, &format!("{second}{rest}")] {
            if !before.is_empty() || is_in_pieces {
                sleep(PAUSE).await;
            }
            // It may be closed already.
            let _ = stream.write_all(piece.as_bytes()).await;
        }
        let answer = raw::rest_of(&mut stream).await;
        let what = format!("{listener} {request:?} after {before:?} in pieces: {is_in_pieces}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 200").count(), usize::from(!before.is_empty()), "{what}");
        // An answer to a request whose body was not read is the last one.
        let first = answer.split("HTTP/1.1 400").next().unwrap_or_default();
        let was_last = first.contains("connection: close");
        assert_eq!(answer.matches("HTTP/1.1 400").count(), usize::from(!was_last), "{what}");
    }
}
