//! One call of the fork mode, from the start of the process to the end of its output.

use std::{io, pin::pin, process::ExitStatus, time::Duration};

use bytes::BytesMut;
use thiserror::Error;
use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver, time::timeout};

use crate::{
    body::CallBody,
    fork::feed::{Broken, feed},
    processes::Spawned,
};

/// How long a pipe that others hold open is still read after the process has ended.
const HELD_OPEN: Duration = Duration::from_millis(500);
const CHUNK: usize = 64 * 1024;

/// A process that ended by itself, and what it wrote.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) output: BytesMut,
}

#[derive(Debug, Error)]
pub(super) enum CallError {
    #[error("{0}")]
    Start(#[source] io::Error),
    #[error("cannot read the body: {0}")]
    Body(String),
    #[error("took too long")]
    TimedOut,
    #[error("lost the process: {0}")]
    Io(#[from] io::Error),
}

/// Feeds and reads at the same time, so that neither side waits for the other for ever.
pub(super) async fn converse(
    process: &mut Spawned,
    body: &mut CallBody,
    mut pipe: Receiver,
    idle: Duration,
) -> Result<Finished, CallError> {
    let mut output = BytesMut::new();
    let stdin = process.take_stdin();
    let status = {
        let mut feeding = pin!(feed(body, stdin, idle));
        let mut reading = pin!(read_all(&mut pipe, &mut output));
        let (mut fed, mut ended) = (false, false);
        loop {
            tokio::select! {
                result = &mut feeding, if !fed => {
                    fed = true;
                    if let Err(Broken { reason, stdin }) = result {
                        // Killed first: an early end of STDIN would look like a whole body to it.
                        process.kill().await;
                        drop(stdin);
                        return Err(CallError::Body(reason));
                    }
                }
                result = &mut reading, if !ended => {
                    ended = true;
                    result?;
                }
                status = process.wait() => break status?,
            }
        }
    };
    if timeout(HELD_OPEN, read_all(&mut pipe, &mut output)).await.is_err() {
        process.kill().await;
        // Only what is in the pipe already.
        let _ = timeout(HELD_OPEN, read_all(&mut pipe, &mut output)).await;
    }
    Ok(Finished { status, output })
}

/// Reads to the end; what was read stays when it is dropped before.
async fn read_all(pipe: &mut Receiver, output: &mut BytesMut) -> io::Result<()> {
    loop {
        output.reserve(if output.is_empty() { 4096 } else { CHUNK });
        if pipe.read_buf(output).await? == 0 {
            return Ok(());
        }
    }
}
