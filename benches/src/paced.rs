//! Requests with pauses, one at a time over a plain blocking connection: what is measured has as little of the client in it as possible.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use tokio::task::spawn_blocking;

use crate::{http::Target, load::BODY};

const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// So many in a row, and then a pause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) group: usize,
    pub(crate) pause: Duration,
}

impl Pace {
    pub(crate) const NONE: Self = Self { group: 1, pause: Duration::ZERO };

    /// Waits after the last one of a group; `done` is how many there were.
    pub(crate) fn hold(self, done: usize) {
        if done.is_multiple_of(self.group) && !self.pause.is_zero() {
            thread::sleep(self.pause);
        }
    }
}

/// How long each request took, in nanoseconds.
pub(crate) async fn run(target: &Target, pace: Pace, window: Duration) -> Result<Histogram<u64>> {
    let target = target.clone();
    spawn_blocking(move || {
        let mut connection = Connection::open(target.address)?;
        let request = request("POST", &target.path, "", &BODY);
        let (mut took, end) = (Histogram::new(3)?, Instant::now() + window);
        for done in 1.. {
            let sent = Instant::now();
            connection.exchange(&request, "200")?;
            took.record(u64::try_from(sent.elapsed().as_nanos())?)?;
            pace.hold(done);
            if Instant::now() >= end {
                break;
            }
        }
        Ok(took)
    })
    .await?
}

pub(crate) fn p50_us(took: &Histogram<u64>) -> f64 {
    took.value_at_quantile(0.5) as f64 / 1000.0
}

/// A request as bytes; `headers` are whole lines.
pub(crate) fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// A connection that is kept.
pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(Self(stream))
    }

    /// Sends a request, reads an answer with a `Content-Length` to its end, and returns its body; another status is an error.
    pub(crate) fn exchange(&mut self, request: &[u8], status: &str) -> Result<Vec<u8>> {
        self.0.write_all(request)?;
        let begin = format!("HTTP/1.1 {status} ");
        let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            let length = self.0.read(&mut piece)?;
            answer.extend_from_slice(piece.get(..length).unwrap_or_default());
            let text = String::from_utf8_lossy(&answer);
            if length == 0 || !begin.starts_with(text.get(..begin.len()).unwrap_or(&text)) {
                bail!("not the answer that is expected: {text}");
            }
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let Some((_, rest)) = head.split_once("content-length: ") else { bail!("no length: {head}") };
            if body.len() >= rest.lines().next().unwrap_or_default().parse()? {
                return Ok(body.as_bytes().to_vec());
            }
        }
    }
}
