//! A program: one JSON object on its STDIN, and an answer on its STDOUT.

use std::{collections::BTreeMap, path::PathBuf, process::Stdio};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::timeout,
};

use super::{CALL_TIMEOUT, MAX_ANSWER, last_line};

#[derive(Clone, Debug)]
pub(super) struct Program {
    path: PathBuf,
    /// Its whole environment.
    environment: BTreeMap<String, String>,
}

impl Program {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, environment: BTreeMap::new() }
    }

    pub(super) fn with_environment(self, environment: BTreeMap<String, String>) -> Self {
        Self { environment, ..self }
    }

    pub(super) async fn call(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let mut child = self.start().map_err(|error| format!("{} cannot be run: {error}", self.path.display()))?;
        let pid = child.id();
        match timeout(CALL_TIMEOUT, answer(&mut child, message)).await {
            Ok(answered) => answered,
            Err(_) => {
                if let Some(pid) = pid {
                    skep_process::kill_group(pid);
                }
                Err(format!("it did not end within {CALL_TIMEOUT:?}"))
            }
        }
    }

    fn start(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&self.path);
        command.env_clear().envs(&self.environment).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    }
}

async fn answer(child: &mut Child, message: &[u8]) -> Result<Vec<u8>, String> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    if let Some(mut stdin) = stdin {
        // A hook that does not read what it is asked has its reasons.
        let _ = stdin.write_all(message).await;
    }
    let (mut said, mut error) = (Vec::new(), Vec::new());
    let read_answer = async {
        if let Some(stdout) = stdout {
            stdout.take(MAX_ANSWER).read_to_end(&mut said).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let read_error = async {
        if let Some(stderr) = stderr {
            stderr.take(MAX_ANSWER).read_to_end(&mut error).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    tokio::try_join!(read_answer, read_error).map_err(|error| format!("its answer cannot be read: {error}"))?;
    let status = child.wait().await.map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(said);
    }
    let last = last_line(&error).unwrap_or_else(|| "it says nothing on its STDERR".to_owned());
    Err(format!("{status}: {last}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use skep_scaling::nodes::Size;

    use super::{super::NodeHook, *};

    fn hook(folder: &std::path::Path, script: &str) -> NodeHook {
        let (text, program) = (folder.join("script"), folder.join("hook"));
        fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
        // Another process writes it: what is open for writing cannot be run, and processes that other tests start hold the files of this one for a moment.
        let installed = std::process::Command::new("install").args(["-m", "755"]).arg(text).arg(&program).status();
        assert!(installed.unwrap().success());
        let hook: NodeHook = format!("exec:{}", program.display()).parse().unwrap();
        hook.with_environment(BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]))
    }

    #[tokio::test]
    async fn a_hook_reads_what_it_is_asked_and_lists_machines() {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"grep -q '"action":"list"' && echo '{"machines":["a","b"],"size":{"cpus":1.5,"memory":1024}}'"#;
        let machines = hook(folder.path(), script).list().await.unwrap();
        assert_eq!(machines.machines, ["a", "b"]);
        assert_eq!(machines.size(), Size { nano_cpus: 1_500_000_000, memory: 1024 });
    }

    #[tokio::test]
    async fn a_hook_that_fails_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let error = hook(folder.path(), "echo the quota is used up >&2; exit 3").list().await.unwrap_err();
        assert!(error.contains("the quota is used up") && error.contains('3'), "{error}");
        let error = hook(folder.path(), "echo nonsense").list().await.unwrap_err();
        assert!(error.starts_with("its list cannot be read"), "{error}");
        let missing: NodeHook = "exec:/nowhere/hook".parse().unwrap();
        assert!(missing.list().await.unwrap_err().starts_with("/nowhere/hook cannot be run"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hook_that_hangs_is_killed_with_what_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let hook = hook(folder.path(), "(sleep 1000; true) & sleep 1000; true");
        let error = hook.list().await.unwrap_err();
        assert_eq!(error, "it did not end within 60s");
        let here = format!("{}/hook", folder.path().display());
        let runs = || {
            let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
            let mut lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
            lines.any(|line| String::from_utf8_lossy(&line).contains(&here))
        };
        while runs() {
            std::thread::yield_now();
        }
    }
}
