use std::{convert::Infallible, sync::Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use proptest::{prelude::*, sample::select};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

/// What hyper reads of bytes that come in pieces of this length, and what it answers.
async fn read_by_hyper(raw: &[u8], piece: usize, is_strict: bool) -> (Vec<String>, String) {
    let found = Mutex::new(Vec::new());
    let (client, server) = duplex(piece);
    let service = service_fn(async |request: Request<Incoming>| {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| (body.trailers().cloned(), body.to_bytes()));
        found.lock().unwrap().push(format!("{} {} {:?} {body:?}", head.method, head.uri, head.headers));
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let (mut reader, mut writer) = tokio::io::split(client);
    let mut answers = Vec::new();
    let talk = async {
        let send = async {
            // hyper may have closed.
            let _ = writer.write_all(raw).await;
            let _ = writer.shutdown().await;
        };
        tokio::join!(send, reader.read_to_end(&mut answers)).1.unwrap();
    };
    if is_strict {
        let strict = StrictHeads::new(server, 64 << 10, Arc::default());
        let _ =
            tokio::join!(http1::Builder::new().half_close(true).serve_connection(TokioIo::new(strict), service), talk);
    } else {
        let _ =
            tokio::join!(http1::Builder::new().half_close(true).serve_connection(TokioIo::new(server), service), talk);
    }
    (found.into_inner().unwrap(), String::from_utf8_lossy(&answers).into_owned())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Requests that mean one thing only, with line feeds in their bodies.
fn good() -> impl Strategy<Value = Vec<u8>> {
    let body = prop::collection::vec(select(b"\r\n:0a\0".to_vec()), 0..20);
    let start = select(vec!["POST / HTTP/1.1\r\n", "\r\nPUT /a HTTP/1.1\r\nX: y\r\n", "GET / HTTP/1.1\r\nTE: a\r\n"]);
    let end = select(vec!["\r\n", "Digest: a\r\n\r\n"]);
    let extension = select(vec!["", " ", ";a=b"]);
    (start, prop::collection::vec(body, 0..4), end, extension, any::<bool>()).prop_map(
        |(start, bodies, end, extension, is_chunked)| {
            if !is_chunked {
                let body = bodies.concat();
                let head = format!("{start}content-Length:\t{} \r\n\r\n", body.len());
                return [head.as_bytes(), &body].concat();
            }
            let mut raw = format!("{start}Transfer-encoding: chunked\r\n\r\n").into_bytes();
            for body in bodies.iter().filter(|body| !body.is_empty()) {
                raw.extend(format!("{:x}{extension}\r\n", body.len()).bytes());
                raw.extend([body, b"\r\n".as_slice()].concat());
            }
            raw.extend(format!("000{extension}\r\n{end}").bytes());
            raw
        },
    )
}

fn bad() -> impl Strategy<Value = &'static str> {
    select(vec![
        "\nGET /bad HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /bad HTTP/1.1\nHost: a\r\n\r\n",
        "GET /bad HTTP/1.1\r\nHost: a\n\r\n",
        "GET /bad HTTP/1.1\r\nHost: a\r\n\n",
        "GET /bad HTTP/1.1\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /bad HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /bad HTTP/1.1\r\ntransfer-encoding: chunked\r\nX: y\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    ])
}

proptest! {
    #[test]
    fn hyper_reads_good_requests_as_it_would_without(
        requests in prop::collection::vec(good(), 1..5), piece in 1_usize..60,
    ) {
        let (raw, number) = (requests.concat(), requests.len());
        let (found, answers) = block_on(read_by_hyper(&raw, piece, true));
        prop_assert_eq!(found.len(), number, "{}", &answers);
        prop_assert_eq!((found, answers.matches(" 200 OK").count()), (block_on(read_by_hyper(&raw, piece, false)).0, number));
    }

    #[test]
    fn a_head_that_can_be_read_in_two_ways_is_400_and_the_last_one(
        requests in prop::collection::vec(good(), 0..4), bad in bad(), piece in 1_usize..60,
    ) {
        let raw = [&requests.concat(), bad.as_bytes(), b"GET /smuggled HTTP/1.1\r\n\r\n"].concat();
        let (found, answers) = block_on(read_by_hyper(&raw, piece, true));
        prop_assert_eq!((found.len(), answers.matches(" 200 OK").count()), (requests.len(), requests.len()));
        prop_assert_eq!(answers.matches(" 400 Bad Request").count(), 1, "{}", &answers);
    }

    #[test]
    fn whatever_comes_hyper_reads_no_more_and_nothing_else_than_it_would_without(
        pieces in prop::collection::vec(prop_oneof![
            good(),
            bad().prop_map(|bad| bad.as_bytes().to_vec()),
            prop::collection::vec(select(b"\r\n:0a; GET/".to_vec()), 0..6),
            select(vec![
                "POST / HTTP/1.1\r\n", "Content-Length: 3\r\n", "Content-Length: 03\r\n", "Transfer-Encoding: chunked\r\n",
                "Transfer-Encoding: gzip, chunked\r\n", "content-length : 1\r\n", "\r\n", "3\r\n", "0\r\n", "abc", "X: y\n",
            ]).prop_map(|line| line.as_bytes().to_vec()),
        ], 1..10),
        piece in 1_usize..60,
    ) {
        let raw = pieces.concat();
        let (strict, plain) = (block_on(read_by_hyper(&raw, piece, true)).0, block_on(read_by_hyper(&raw, piece, false)).0);
        // The body of the last one may not have come whole.
        let whole = strict.iter().filter(|one| one.contains("Ok(")).count();
        prop_assert_eq!(strict.get(..whole), plain.get(..whole));
        prop_assert!(strict.len() <= plain.len());
    }
}

#[test]
fn trailers_with_a_bare_line_feed_are_refused() {
    let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n";
    let (found, _) = block_on(read_by_hyper(format!("{head}X: a\nY: b\r\n\r\n").as_bytes(), 99, true));
    assert!(found.len() == 1 && found[0].contains("Err("), "{found:?}");
}
