//! Connections that stop speaking HTTP, as those of WebSockets do: from then on bytes pass both ways.

use std::{io, pin::pin, time::Duration};

use http::{HeaderMap, HeaderValue, Request, Response, Version, header};
use hyper::upgrade::{self, OnUpgrade};
use hyper_util::rt::TokioIo;
use skep_http::{Body, Upgraded};
use skep_protocol::headers::{remove_hop_by_hop, remove_platform_words};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split},
    net::tcp::OwnedWriteHalf,
    time::timeout,
};

use crate::answer::{Answer, AnswerBody};

const UPGRADE: HeaderValue = HeaderValue::from_static("upgrade");

/// How long a client may take to go when the program has ended the connection.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// A client that asks for another protocol on its connection.
pub(super) struct Upgrade {
    client: OnUpgrade,
    protocols: Vec<HeaderValue>,
}

/// Two connections that become one.
pub(crate) struct Tunnel {
    client: OnUpgrade,
    /// `None` if the program is not to be spoken to any more.
    program: Option<(Upgraded, OwnedWriteHalf)>,
}

impl Upgrade {
    /// `None` is a request like most.
    pub(super) fn asked_by(request: &mut Request<Body>) -> Option<Self> {
        if request.version() != Version::HTTP_11 || !is_asked(request.headers()) {
            return None;
        }
        let protocols = protocols(request.headers());
        Some(Self { client: upgrade::on(request), protocols })
    }

    /// Asks the program for the same; after the headers of one connection were removed.
    pub(super) fn ask(&self, headers: &mut HeaderMap) {
        insert(headers, &self.protocols);
    }

    /// Passes the program's 101 on.
    pub(super) fn agreed(self, response: Response<skep_http::Incoming>) -> Answer {
        let (mut parts, program) = response.into_parts();
        let program = program.into_upgraded();
        let agreed = protocols(&parts.headers);
        remove_hop_by_hop(&mut parts.headers);
        remove_platform_words(&mut parts.headers);
        parts.headers.remove(header::CONTENT_LENGTH);
        insert(&mut parts.headers, &agreed);
        parts.version = Version::HTTP_11;
        Response::from_parts(parts, AnswerBody::tunnel(Tunnel { client: self.client, program }))
    }
}

impl Tunnel {
    /// Begins when the client has its 101, and returns when the program, or the connection of either, has ended.
    pub(crate) async fn join(self) {
        // Where one side is gone before it begins, the other one is dropped, which closes it.
        if let (Ok(client), Some(program)) = (self.client.await, self.program) {
            // How it ends is the business of the two.
            let _ = copy_both(split(TokioIo::new(client)), program).await;
        }
    }
}

/// A client that sends no more may still wait for the rest, but one that stays when the program is done is not waited for.
async fn copy_both(
    client: (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    program: (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut to_program = pin!(copy_to_end(client.0, program.1));
    let mut to_client = pin!(copy_to_end(program.0, client.1));
    tokio::select! {
        result = to_program.as_mut() => {
            result?;
            to_client.await
        }
        result = to_client.as_mut() => {
            result?;
            // To close with bytes of the client's unread would be a reset, and it could lose the end of what was sent.
            timeout(LINGER_TIMEOUT, to_program).await?
        }
    }
}

async fn copy_to_end(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    copy(&mut from, &mut to).await?;
    to.shutdown().await
}

/// `h2c` is HTTP between two neighbours: passed on it would hide calls from the watchdog.
fn is_asked(headers: &HeaderMap) -> bool {
    let names = |name, token| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(token))
    };
    names(header::CONNECTION, "upgrade") && headers.contains_key(header::UPGRADE) && !names(header::UPGRADE, "h2c")
}

fn protocols(headers: &HeaderMap) -> Vec<HeaderValue> {
    headers.get_all(header::UPGRADE).iter().cloned().collect()
}

fn insert(headers: &mut HeaderMap, protocols: &[HeaderValue]) {
    headers.insert(header::CONNECTION, UPGRADE);
    for protocol in protocols {
        headers.append(header::UPGRADE, protocol.clone());
    }
}
