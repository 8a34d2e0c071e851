//! What holds for all bytes that a caller may send: for the property test and the fuzzer.

use std::{convert::Infallible, sync::Mutex, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    runtime::Builder,
    time::timeout,
};

use crate::{FastPath, server::fast_path::request::take_simple};

const LIMITS: FastPath = FastPath { max_headers: 100, max_head_bytes: 64 << 10, idle: None };

/// Panics if what is taken for a simple request is not what hyper reads.
pub fn check(raw: &[u8]) {
    let found = simple(raw);
    if found.is_empty() {
        return;
    }
    if let Ok(runtime) = Builder::new_current_thread().enable_time().build() {
        assert_eq!(runtime.block_on(as_hyper_reads(raw, found.len())), found);
    }
}

/// The simple requests that bytes begin with.
pub(super) fn simple(raw: &[u8]) -> Vec<String> {
    let mut buffer = BytesMut::from(raw);
    let mut found = Vec::new();
    while let Some(request) = take_simple(&mut buffer, &LIMITS) {
        let (head, body) = request.into_parts();
        found.push(described(&head, &body));
    }
    found
}

fn described(head: &Parts, body: &[u8]) -> String {
    format!("{} {} {:?} {:?} {body:?}", head.method, head.uri, head.version, head.headers)
}

/// The first requests of the same bytes, as hyper reads them.
async fn as_hyper_reads(raw: &[u8], number: usize) -> Vec<String> {
    let found = Mutex::new(Vec::new());
    let (mut client, server) = duplex(64 << 10);
    let service = service_fn(async |request: Request<Incoming>| {
        let (head, body) = request.into_parts();
        if let (Ok(body), Ok(mut found)) = (body.collect().await, found.lock()) {
            found.push(described(&head, &body.to_bytes()));
        }
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let answers = async {
        let mut read = Vec::new();
        if client.write_all(raw).await.is_ok() {
            while read.windows(4).filter(|end| end == b"\r\n\r\n").count() < number
                && client.read_buf(&mut read).await.is_ok_and(|count| count > 0)
            {}
        }
    };
    tokio::select! {
        _ = http1::Builder::new().serve_connection(TokioIo::new(server), service) => {}
        answered = timeout(Duration::from_secs(10), answers) => assert!(answered.is_ok(), "hyper does not answer"),
    }
    found.into_inner().unwrap_or_default().into_iter().take(number).collect()
}
