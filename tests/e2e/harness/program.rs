//! A program that a test started: its output goes to files, and it is killed when the test ends, however that is.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::{wait_for, wait_until};

static STARTED: AtomicUsize = AtomicUsize::new(0);

pub(crate) struct Program {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Program {
    /// Starts it; its output goes to files in the folder.
    pub(crate) fn start(name: &str, command: Command, folder: &Path) -> Self {
        Self::start_reading(Stdio::null(), name, command, folder)
    }

    /// The same, with something on its STDIN.
    pub(crate) fn start_reading(input: Stdio, name: &str, mut command: Command, folder: &Path) -> Self {
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let stdout = folder.join(format!("{number}-{name}.stdout"));
        let stderr = folder.join(format!("{number}-{name}.stderr"));
        let child = command
            .stdin(input)
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        Self { name: name.to_owned(), child, stdout, stderr }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stdout(&self) -> String {
        read(&self.stdout)
    }

    pub(crate) fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Its exit status, once it has ended.
    pub(crate) fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        wait_for(&what, async || self.child.try_wait().unwrap()).await
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(pid(&self.child), signal).unwrap();
    }

    /// Stops it until [`Signal::CONT`]. Sending a signal returns before all threads have stopped, so this waits for them.
    pub(crate) async fn suspend(&self) {
        self.signal(Signal::STOP);
        all_threads_stop(self.child.id()).await;
    }

    /// What Ctrl-C in a terminal does: all processes in the foreground get the signal.
    pub(crate) fn signal_group(&self, signal: Signal) {
        kill_process_group(pid(&self.child), signal).unwrap();
    }

    /// Kills it with -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let text = read(&self.stderr);
            let lines: Vec<&str> = text.lines().collect();
            let last = lines.len().saturating_sub(40);
            eprintln!("--- the last that {} said:\n{}\n---", self.name, lines[last..].join("\n"));
        }
    }
}

/// Waits until all threads of a process have stopped.
async fn all_threads_stop(id: u32) {
    let threads = format!("/proc/{id}/task");
    wait_until("all threads have stopped", async || {
        fs::read_dir(&threads).unwrap().flatten().all(|thread| {
            // A thread may have ended meanwhile.
            read(&thread.path().join("stat")).rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'))
        })
    })
    .await;
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

fn read(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
}
