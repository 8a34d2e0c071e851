//! `--supervise`: a program without HTTP, on the STDIN, STDOUT and STDERR of the watchdog, which ends with all that the program started.

use std::{
    fs::File,
    io::{self, Error, ErrorKind},
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    thread,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, poll};
use skep_process::{ProcessTag, adopt_orphans, kill_descendants, orphans, reap, terminate_group};
use tokio::{
    process::{Child, Command},
    task::spawn_blocking,
    time::{Instant, interval_at},
};
use tokio_util::sync::CancellationToken;

use crate::{config::Settings, plan, server::Shutdown};

/// How often the entries of processes are removed that the program has left to themselves and that have ended.
const REAP_INTERVAL: Duration = Duration::from_secs(5);
/// The watchdog's own settings, which the program is not to take for its own.
const OWN: [&str; 4] = ["fprocess", "nice", "lifeline", "log_format"];
/// What a shell says of a program that a signal has ended.
const SIGNALLED: i32 = 128;

/// Runs the program until it ends, and returns its exit code; a shutdown asks it to end, the next one kills it.
pub(crate) async fn supervise(settings: &Settings, shutdown: &Shutdown) -> io::Result<i32> {
    adopt_orphans()?;
    let tag = ProcessTag::new(settings.process_tag.as_deref());
    let mut child = start(settings, &tag)?;
    // Only the program and what it starts hold STDOUT, so that its reader notices when they have closed it.
    rustix::stdio::dup2_stdout(File::open("/dev/null")?)?;
    let leader = child.id().unwrap_or_default();
    let mut reaping = interval_at(Instant::now() + REAP_INTERVAL, REAP_INTERVAL);
    let (mut is_asked, mut status) = (false, None);
    while status.is_none() {
        tokio::select! {
            biased;
            ended = child.wait() => status = Some(ended?),
            () = shutdown.now.cancelled() => break,
            () = shutdown.drain.cancelled(), if !is_asked => {
                is_asked = true;
                terminate_group(leader);
            }
            _ = reaping.tick() => reap_orphans(leader).await,
        }
    }
    let killed = spawn_blocking(move || kill_descendants(&tag)).await;
    if !matches!(killed, Ok(0)) {
        return Err(Error::other("processes of the program could not be killed"));
    }
    Ok(status.map_or(SIGNALLED, code_of))
}

fn start(settings: &Settings, tag: &ProcessTag) -> io::Result<Child> {
    let words = plan::command(settings).map_err(|error| Error::new(ErrorKind::InvalidInput, error))?;
    let [program, arguments @ ..] = &words[..] else { return Err(ErrorKind::InvalidInput.into()) };
    let mut command = Command::new(program);
    for own in OWN {
        command.env_remove(own);
    }
    let stdin = if settings.share_stdin { Stdio::inherit() } else { Stdio::null() };
    let started = command.args(arguments).env(ProcessTag::VARIABLE, tag.as_str()).process_group(0).stdin(stdin).spawn();
    started.map_err(|error| Error::new(error.kind(), format!("{program} cannot be started: {error}")))
}

async fn reap_orphans(leader: u32) {
    let reaped = spawn_blocking(move || {
        orphans(|pid| pid == leader).iter().filter(|orphan| orphan.dead).for_each(reap);
    });
    // It is tried again.
    let _ = reaped.await;
}

fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| SIGNALLED + status.signal().unwrap_or_default())
}

/// Waits until nobody can write to STDIN any more, without reading it: what is written there is the program's.
pub(crate) fn with_writers_of_stdin(gone: CancellationToken) -> io::Result<()> {
    thread::Builder::new().name("lifeline".to_owned()).spawn(move || {
        let stdin = io::stdin();
        let mut watched = [PollFd::new(&stdin, PollFlags::empty())];
        while matches!(poll(&mut watched, None), Ok(0) | Err(rustix::io::Errno::INTR)) {}
        gone.cancel();
    })?;
    Ok(())
}
