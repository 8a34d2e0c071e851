//! Requests with pauses, one at a time over a plain blocking connection: what is measured has as little of the client in it as possible.

use std::{
    io::{Read, Write},
    net::TcpStream,
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
        let mut stream = TcpStream::connect(target.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let mut request =
            format!("POST {} HTTP/1.1\r\nHost: bench\r\nContent-Length: {}\r\n\r\n", target.path, BODY.len())
                .into_bytes();
        request.extend_from_slice(&BODY);
        let (mut took, end) = (Histogram::new(3)?, Instant::now() + window);
        for done in 1.. {
            let sent = Instant::now();
            stream.write_all(&request)?;
            read_answer(&mut stream)?;
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

/// Reads a 200 with a `Content-Length` to its end.
fn read_answer(stream: &mut TcpStream) -> Result<()> {
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut piece)?;
        answer.extend_from_slice(piece.get(..length).unwrap_or_default());
        let text = String::from_utf8_lossy(&answer);
        if length == 0 || !"HTTP/1.1 200 ".starts_with(text.get(..13).unwrap_or(&text)) {
            bail!("not the answer that is expected: {text}");
        }
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let Some((_, rest)) = head.split_once("content-length: ") else { bail!("no length: {head}") };
        if body.len() >= rest.lines().next().unwrap_or_default().parse()? {
            return Ok(());
        }
    }
}
