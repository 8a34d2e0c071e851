//! One call of the fork mode, from the start of the process to the end of its output.

use std::{io, pin::pin, process::ExitStatus, time::Duration};

use bytes::Bytes;
use http::request::Parts;
use http_body::Body as _;
use skep_http::Body;
use thiserror::Error;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use crate::{
    body::{NotCollected, discard},
    fork::{facts::Facts, feed::Feed, output::Output},
    metrics::Kill,
    processes::Spawned,
};

/// Between TERM and KILL after a call took too long.
const TERM_GRACE: Duration = Duration::from_secs(1);
/// How long a pipe is read after the process has ended, if others hold it open.
const OPEN_PIPE_TIMEOUT: Duration = Duration::from_millis(500);

/// A process that serves a request.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) process: Spawned,
    pub(super) feed: Feed,
    pub(super) body: Body,
    /// The file for the facts of the request, and the request.
    pub(super) facts: Option<(Facts, Parts)>,
    pub(super) output: Output,
    /// How long the client may take for the next piece of its body.
    pub(super) idle: Duration,
    /// How long the process may run.
    pub(super) limit: Option<Duration>,
    pub(super) _place: Option<OwnedSemaphorePermit>,
}

/// A process that ended by itself.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    /// How many bytes it wrote.
    pub(super) total: u64,
    /// Its output, if it was not streamed.
    pub(super) output: Option<Bytes>,
}

#[derive(Debug, Error)]
pub(super) enum CallError {
    #[error("{0}")]
    Start(#[source] io::Error),
    #[error("cannot read the body: {0}")]
    Body(#[from] NotCollected),
    #[error("{0} processes run, as many as may at a time (max_processes)")]
    TooManyProcesses(usize),
    #[error("took too long")]
    TimedOut,
    #[error("the answer is larger than output_buffer_size, and an HTTP/1.0 client cannot be told how a stream ended")]
    TooLarge,
    #[error("the output does not begin with the head of a CGI answer: {0}")]
    BadHead(&'static str),
    #[error("the caller is gone")]
    Gone,
    #[error("lost the process: {0}")]
    Io(#[from] io::Error),
}

impl Conversation {
    /// Runs until the process ends, for whatever reason. The output is returned because its reader takes its end as success.
    pub(super) async fn hold(mut self) -> (Result<Finished, CallError>, Output) {
        let limit = self.limit;
        let talk = self.talk();
        let result = match limit {
            Some(limit) => timeout(limit, talk).await.unwrap_or(Err(CallError::TimedOut)),
            None => talk.await,
        };
        match &result {
            // A broken body has already killed it.
            Ok(_) | Err(CallError::Body(_)) => {}
            Err(CallError::TimedOut) => self.process.end(TERM_GRACE, Kill::Timeout).await,
            Err(CallError::Gone) => self.process.kill(Kill::CallerGone).await,
            Err(CallError::TooLarge | CallError::BadHead(_)) => self.process.kill(Kill::BadOutput).await,
            Err(CallError::Start(_) | CallError::TooManyProcesses(_) | CallError::Io(_)) => {
                self.process.kill(Kill::Lost).await
            }
        }
        if !self.body.is_end_stream() {
            // A client that is still sending would not see the answer if the connection was closed.
            self.process.processes().tasks().spawn(discard(self.body));
        }
        (result, self.output)
    }

    /// Feeds and reads at the same time, so that neither side blocks the other for ever.
    async fn talk(&mut self) -> Result<Finished, CallError> {
        let (status, ended) = {
            let mut feeding = pin!(self.feed.finish(&mut self.body, self.idle));
            let mut reading = pin!(self.output.read_all());
            let mut writing = pin!(async { self.facts.as_mut().map(|(facts, parts)| facts.write(parts, self.limit)) });
            let (mut fed, mut written, mut ended) = (false, false, false);
            loop {
                tokio::select! {
                    // The order matters: what the process waits for comes first.
                    biased;
                    result = &mut feeding, if !fed => {
                        fed = true;
                        if let Err(reason) = result {
                            // While STDIN is open, because an early end of it would look like a complete body.
                            self.process.kill(Kill::BrokenBody).await;
                            return Err(NotCollected::Broken(reason).into());
                        }
                    }
                    result = &mut writing, if !written => {
                        written = true;
                        result.transpose()?;
                    }
                    result = &mut reading, if !ended => {
                        ended = true;
                        result?;
                    }
                    status = self.process.wait() => break (status?, ended),
                }
            }
        };
        if !ended && !self.output.read_rest(OPEN_PIPE_TIMEOUT).await? {
            self.process.kill(Kill::Leftover).await;
            // Only what is already in the pipe.
            self.output.read_rest(OPEN_PIPE_TIMEOUT).await?;
        }
        Ok(Finished { status, total: self.output.total(), output: self.output.whole() })
    }
}
