//! One watchdog process, from its start to the end of all that it started.

use std::{
    fmt::Display,
    fs,
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::process::{Pid, Rlimit, Signal, kill_process};
use skep_process::{ProcessTag, kill_tree};
use skep_protocol::{FunctionDeployment, FunctionName, WORKDIR};
use tokio::{
    process::{Child, ChildStdin, Command},
    sync::oneshot,
    task::JoinSet,
};
use tracing::warn;

use crate::{Error, Result, tagged::Tagged};

use super::{
    ProviderContext, WATCHDOG,
    environment::{Surroundings, variables},
    lines,
    logs::Log,
    make_folder,
    sandbox::Sandbox,
};

/// What the watchdog writes before its address.
const LISTENING: &str = "Listening on ";
/// A watchdog that was killed has to be gone after this.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for last lines, because a surviving process may hold the pipe open.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct Watchdog {
    pub(super) child: Child,
    pub(super) tag: ProcessTag,
    /// Our end of its STDIN: when it is closed, by whatever end of ours, the watchdog kills all and exits.
    pub(super) _lifeline: Option<ChildStdin>,
    pub(super) readers: JoinSet<()>,
    pub(super) sandbox: Option<Sandbox>,
}

impl Watchdog {
    /// Starts a watchdog; the receiver gets the address that it listens on.
    pub(super) fn start(
        context: &ProviderContext,
        name: &FunctionName,
        deployment: &FunctionDeployment,
        log: &Arc<Log>,
        instance: &str,
    ) -> Result<(Self, oneshot::Receiver<SocketAddr>)> {
        let workdir = context.workdir(name, deployment);
        if !deployment.annotations.contains_key(WORKDIR) {
            make_folder(&workdir)?;
        }
        let secrets = context.secrets_folder(name);
        context.secrets.link(name, &deployment.secrets)?;
        let sandbox = Sandbox::prepare(context, name, deployment, instance)?;
        let tag = context.config.process_tag.within();
        let policy = context.policy(deployment);
        let surroundings = Surroundings {
            inherited: &context.config.environment,
            namespace: context.namespace.of(name),
            secrets: &secrets,
            temporary: sandbox.as_ref().map(|sandbox| sandbox.temporary.as_path()),
            timeout: policy.timeout,
            collector: context.config.collector.as_deref().filter(|_| policy.exports_spans),
            tag: &tag,
        };
        let mut child = Command::new(&context.config.watchdog)
            .arg0(WATCHDOG)
            .args(sandbox.as_ref().map(Sandbox::arguments).unwrap_or_default())
            .env_clear()
            .envs(variables(name, deployment, &surroundings))
            .current_dir(&workdir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::io("start a watchdog in", workdir))?;
        limit_files(&child, context.config.file_limit);
        let (readers, address) = read_output(&mut child, log, instance);
        Ok((Self { _lifeline: child.stdin.take(), child, tag, readers, sandbox }, address))
    }

    /// Waits for its end and says how it came.
    pub(super) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => describe(status),
            Err(error) => describe_unknown(&error),
        }
    }

    /// Asks it to finish what it does, and kills what is left after the patience or when `kill` is done.
    pub(super) async fn stop(mut self, patience: Duration, kill: impl Future<Output = ()>) {
        if let Some(pid) = pid_of(&self.child) {
            // It fails only when the watchdog has ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        tokio::select! {
            _ = self.child.wait() => {}
            () = tokio::time::sleep(patience) => {}
            () = kill => {}
        }
        self.sweep().await;
    }

    /// Kills whatever is left of it and of what it started, and takes its last lines.
    pub(super) async fn sweep(mut self) {
        // `None` when it has been waited for: its number may be someone else's by now, the tag is not.
        let leader = self.child.id();
        let tag = self.tag.clone();
        let temporary = self.sandbox.take().map(|sandbox| sandbox.temporary);
        let kill_and_tidy = move || {
            let left = kill_tree(leader, &tag);
            // What stays is removed when the next replica of this name starts.
            let _ = temporary.map(fs::remove_dir_all);
            left
        };
        let left = tokio::task::spawn_blocking(kill_and_tidy).await;
        if !matches!(left, Ok(0)) {
            warn!(tag = %self.tag, "processes of a function could not be killed");
        }
        let _ = tokio::time::timeout(KILL_TIMEOUT, self.child.wait()).await;
        let last_lines = async { while self.readers.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_LINES_TIMEOUT, last_lines).await;
    }
}

/// A watchdog has the limit of this process at first, which may have raised its own.
#[cfg(target_os = "linux")]
pub(super) fn limit_files(child: &Child, limit: Rlimit) {
    use rustix::process::{Resource, prlimit};

    if let Some(pid) = pid_of(child)
        && let Err(error) = prlimit(Some(pid), Resource::Nofile, limit)
    {
        warn!(%error, "the open file limit of a watchdog could not be raised");
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn limit_files(_: &Child, _: Rlimit) {}

fn pid_of(child: &Child) -> Option<Pid> {
    child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)
}

/// Hands every line to the log; the receiver gets the address that is found in one.
fn read_output(child: &mut Child, log: &Arc<Log>, instance: &str) -> (JoinSet<()>, oneshot::Receiver<SocketAddr>) {
    let mut readers = JoinSet::new();
    let (sender, address) = oneshot::channel();
    if let Some(stdout) = child.stdout.take() {
        let (log, instance) = (Arc::clone(log), instance.to_owned());
        readers.spawn(async move { lines::read(stdout, |line| log.push(&instance, Tagged::read(line))).await });
    }
    if let Some(stderr) = child.stderr.take() {
        let (log, instance) = (Arc::clone(log), instance.to_owned());
        let mut sender = Some(sender);
        let each = move |line: String| {
            let line = Tagged::read(line);
            if let Some(address) = sender.is_some().then(|| address_in(&line.text)).flatten() {
                // The receiver is gone when the replica is being stopped.
                let _ = sender.take().map(|sender| sender.send(address));
            }
            log.push(&instance, line);
        };
        readers.spawn(lines::read(stderr, each));
    }
    (readers, address)
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => describe_unknown(&status),
    }
}

fn describe_unknown(reason: &impl Display) -> String {
    format!("ended: {reason}")
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(LISTENING)?;
    // In a line of JSON a quote comes after it.
    rest.split([' ', '"']).next()?.trim_end().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_the_line_that_tells_it() {
        let expected = Some("127.0.0.1:4711".parse().unwrap());
        assert_eq!(address_in("2026-11-23 INFO Listening on 127.0.0.1:4711"), expected);
        assert_eq!(address_in("Listening on 127.0.0.1:4711 mode=fork"), expected);
        assert_eq!(address_in(r#"{"stream":"watchdog","text":"Listening on 127.0.0.1:4711"}"#), expected);
        assert_eq!(address_in("listening soon"), None);
        assert_eq!(address_in("Listening on port"), None);
    }
}
