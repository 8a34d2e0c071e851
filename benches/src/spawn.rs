//! The baseline of a process per request: this program starting the same program for the same bytes.

use std::{
    env,
    ffi::OsString,
    io::{Error, Read, Write},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;
use tokio::task::spawn_blocking;

use crate::{load::BODY, paced::Pace};

/// A program that reads [`BODY`] from STDIN.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    program: OsString,
    arguments: Vec<OsString>,
    /// Variables that it does not get, nor does what is measured: a language, for one, makes programs load more. To clear the whole environment would be a slower way to start a process.
    hidden: Vec<OsString>,
}

impl Raw {
    pub(crate) fn new(program: impl Into<OsString>, arguments: Vec<OsString>) -> Self {
        let hidden = env::vars_os().map(|(name, _)| name).filter(|name| name != "PATH").collect();
        Self { program: program.into(), arguments, hidden }
    }

    /// Starts one process after the other on some threads for a while, with pauses; how long each took, in nanoseconds.
    pub(crate) async fn repeat(&self, threads: usize, pace: Pace, window: Duration) -> Result<Histogram<u64>> {
        let raw = self.clone();
        spawn_blocking(move || {
            let end = Instant::now() + window;
            thread::scope(|scope| {
                let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| raw.repeat_until(end, pace))).collect();
                let mut all = Histogram::new(3)?;
                for thread in threads {
                    all.add(thread.join().map_err(|_| anyhow!("a thread panicked"))??)?;
                }
                Ok(all)
            })
        })
        .await?
    }

    fn repeat_until(&self, end: Instant, pace: Pace) -> Result<Histogram<u64>> {
        let mut took = Histogram::new(3)?;
        for done in 1.. {
            let started = Instant::now();
            self.answer()?;
            let ended = Instant::now();
            if ended >= end {
                break;
            }
            took.record(u64::try_from((ended - started).as_nanos())?)?;
            pace.hold(done);
        }
        Ok(took)
    }

    /// What the watchdog does for a request, and nothing else; returns what the program wrote.
    pub(crate) fn answer(&self) -> Result<Vec<u8>> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        for name in &self.hidden {
            command.env_remove(name);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let missing = || Error::other("a pipe is missing");
        let mut stdin = child.stdin.take().ok_or_else(missing)?;
        stdin.write_all(&BODY)?;
        drop(stdin);
        let mut answer = Vec::with_capacity(BODY.len());
        child.stdout.take().ok_or_else(missing)?.read_to_end(&mut answer)?;
        let status = child.wait()?;
        if status.success() && !answer.is_empty() {
            return Ok(answer);
        }
        Err(anyhow!("{} ended with {status} and {} bytes", self.program.display(), answer.len()))
    }
}
