//! Processes that end with this program, however it ends.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Error, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::time::sleep;

use crate::{args::GuardArgs, bench::Bench};

const READY_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A child; dropped, it is asked to end, waited for, and killed if it does not listen.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

/// What to start. The environment is nothing but PATH and what is set here, so that no setting of the user gets in.
pub(crate) struct Launch<'program> {
    pub(crate) name: &'static str,
    pub(crate) program: &'program Path,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) variables: Vec<(&'static str, OsString)>,
}

impl Process {
    pub(crate) fn start(bench: &Bench, launch: Launch<'_>) -> Result<Self> {
        let Launch { name, program, arguments, variables } = launch;
        let folder = bench.new_folder(name)?;
        let log = folder.join("log");
        let file = File::create(&log).context("cannot make a log")?;
        let child = Command::new(&bench.programs.own)
            .arg("guard")
            .arg(std::process::id().to_string())
            .arg(program)
            .args(arguments)
            .env_clear()
            .env("PATH", &bench.programs.path)
            .envs(variables)
            .current_dir(folder)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child, log })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// A line of `/proc/PID/status`, in MB of a million bytes: `VmRSS` is its memory now, `VmHWM` the most so far.
    pub(crate) fn memory_mb(&self, name: &str) -> Result<f64> {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.id())).context("memory is read from /proc")?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib =
            line.and_then(|line| line.trim().strip_suffix(" kB")).with_context(|| format!("/proc tells no {name}"))?;
        Ok(kib.trim().parse::<f64>()? * 1024.0 / 1e6)
    }

    /// Returns when the probe says yes; fails when the process ends or the time is over.
    pub(crate) async fn until_ready(&mut self, mut probe: impl AsyncFnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while !probe().await {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at its start ({status}): {}", self.name, self.last_lines());
            }
            if Instant::now() >= deadline {
                bail!("{} was not ready within {READY_WITHIN:?}: {}", self.name, self.last_lines());
            }
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    fn last_lines(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join(" | ")
    }

    fn stop(&mut self) {
        let Some(pid) = i32::try_from(self.id()).ok().and_then(Pid::from_raw) else { return };
        let deadline = Instant::now() + STOP_WITHIN;
        if matches!(self.child.try_wait(), Ok(None)) {
            // It may end by itself at this moment.
            let _ = kill_process(pid, Signal::TERM);
        }
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(LOOK_AGAIN);
        }
        // Normally nothing is left of its group.
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An address of this machine that nothing listens on.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr()?)
}

/// Arguments of several kinds as one list.
pub(crate) fn arguments<const N: usize>(arguments: [&OsStr; N]) -> Vec<OsString> {
    arguments.map(OsStr::to_owned).to_vec()
}

/// Becomes the program, which is terminated with its parent; returns only if that is not possible.
pub(crate) fn replace_this_process(guard: &GuardArgs) -> Error {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::TERM)) {
        return error.into();
    }
    // The parent may have died before that.
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if parent != Some(guard.parent) {
        return anyhow!("the parent process is gone");
    }
    let Some((program, arguments)) = guard.program.split_first() else {
        return anyhow!("no program was given");
    };
    let error = Command::new(program).args(arguments).exec();
    Error::new(error).context(format!("cannot start {}", program.display()))
}
