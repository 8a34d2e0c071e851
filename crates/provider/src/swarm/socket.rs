//! Plain GETs to the Docker engine for what its client library lacks: the addresses of tasks, and logs as they arrive.

use std::{path::PathBuf, str::FromStr};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_util::task::AbortOnDropHandle;
use url::form_urlencoded;

use super::engine::{EngineError, Result, said};

/// A longer answer is an error; ten thousand tasks are about a third of it.
const MAX_ANSWER: usize = 128 * 1024 * 1024;

/// Where the engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DockerHost {
    Unix(PathBuf),
    Tcp(String),
}

impl FromStr for DockerHost {
    type Err = &'static str;

    /// Reads `unix:///var/run/docker.sock` or `tcp://host:2375`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(("tcp", address)) if address.contains(':') => Ok(Self::Tcp(address.to_owned())),
            _ => Err("must be like unix:///var/run/docker.sock or tcp://host:2375"),
        }
    }
}

pub(super) struct Socket {
    host: DockerHost,
    api_version: String,
}

impl Socket {
    pub(super) fn new(host: DockerHost, api_version: String) -> Self {
        Self { host, api_version }
    }

    pub(super) async fn get_json<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T> {
        let body = Limited::new(self.get(path, query).await?.incoming, MAX_ANSWER).collect().await;
        let body = body.map_err(|error| EngineError::Away(error.to_string()))?.to_bytes();
        serde_json::from_slice(&body).map_err(|error| EngineError::Away(format!("its answer cannot be read: {error}")))
    }

    /// Starts to read an answer; the caller limits how long and how much it reads.
    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let request = Request::get(format!("/v{}/{path}?{query}", self.api_version))
            .header(header::HOST, "docker")
            .body(Empty::<Bytes>::new())
            .map_err(away)?;
        let mut answer = match &self.host {
            DockerHost::Unix(path) => send(UnixStream::connect(path).await.map_err(away)?, request).await?,
            DockerHost::Tcp(address) => send(TcpStream::connect(address).await.map_err(away)?, request).await?,
        };
        if answer.status.is_success() {
            return Ok(answer);
        }
        let text = Limited::new(&mut answer.incoming, 64 * 1024).collect().await;
        let text = text.map(|text| text.to_bytes()).unwrap_or_default();
        Err(said(answer.status.as_u16(), &message_in(&text)))
    }
}

/// An answer that is being read, and its connection.
pub(super) struct Answer {
    status: StatusCode,
    incoming: Incoming,
    _connection: AbortOnDropHandle<()>,
}

impl Answer {
    /// The next part, or `None` at the end, however it ends.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            let frame = self.incoming.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                return Some(data);
            }
        }
    }
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<Answer> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(away)?;
    let connection = AbortOnDropHandle::new(tokio::spawn(async move {
        // The reader of the body sees the failure.
        let _ = connection.await;
    }));
    let (head, incoming) = sender.send_request(request).await.map_err(away)?.into_parts();
    Ok(Answer { status: head.status, incoming, _connection: connection })
}

/// The engine's errors are `{"message":"…"}`.
fn message_in(body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let message = json.as_ref().and_then(|json| json.get("message")).and_then(serde_json::Value::as_str);
    message.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned)
}

fn away(error: impl std::error::Error) -> EngineError {
    EngineError::Away(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_socket_or_an_address() {
        assert_eq!("unix:///run/d.sock".parse(), Ok(DockerHost::Unix("/run/d.sock".into())));
        assert_eq!("tcp://10.0.0.1:2375".parse(), Ok(DockerHost::Tcp("10.0.0.1:2375".to_owned())));
        for bad in ["", "/run/d.sock", "unix://d.sock", "tcp://host", "https://host:1"] {
            assert!(bad.parse::<DockerHost>().is_err(), "{bad}");
        }
    }
}
