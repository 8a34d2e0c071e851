//! A watchdog that was started for one test, and what `/proc` tells about it.

use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use skep_process::{ProcessTag, kill_tree};
use tempfile::TempDir;

use crate::client::{Answer, send};

/// Long enough for a machine that does other things as well.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// More connections than this make no more threads, which keep some descriptors.
pub(crate) const THREADS: usize = 8;

pub(crate) struct Watchdog {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) tag: ProcessTag,
    log: Arc<Mutex<Vec<String>>>,
}

impl Watchdog {
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let tag = ProcessTag::new(None);
        let mut child = command(settings, &tag).spawn().unwrap();
        let log = Arc::default();
        let address = read_log(&mut child, &log);
        Self { child, address, tag, log }
    }

    pub(crate) fn fork(fprocess: &str, settings: &[(&str, &str)]) -> Self {
        Self::start(&[&[("fprocess", fprocess)], settings].concat())
    }

    pub(crate) fn sh(script: &str, settings: &[(&str, &str)]) -> Self {
        Self::fork(&shlex::try_join(["sh", "-c", script]).unwrap(), settings)
    }

    /// In http mode before a server written in Python, whose file is in the folder.
    pub(crate) fn python(server: &str, settings: &[(&str, &str)]) -> (Self, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("server.py");
        fs::write(&file, server).unwrap();
        let fprocess = format!("python3 {}", file.display());
        (Self::start(&[&[("mode", "http"), ("fprocess", fprocess.as_str())], settings].concat()), folder)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        send(self.address, "GET", path, &[], b"")
    }

    pub(crate) fn post(&self, body: &[u8]) -> Answer {
        send(self.address, "POST", "/", &[], body)
    }

    pub(crate) fn logged(&self, text: &str) -> bool {
        self.log.lock().unwrap().iter().any(|line| line.contains(text))
    }

    pub(crate) fn log_lines(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    pub(crate) fn wait_for_exit(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the watchdog ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// How many processes the watchdog's functions have now.
    pub(crate) fn functions(&self) -> usize {
        tagged(&self.tag) - usize::from(fs::exists(format!("/proc/{}/exe", self.child.id())).unwrap_or_default())
    }

    /// The ids of the same processes.
    pub(crate) fn function_ids(&self) -> HashSet<String> {
        let own = self.child.id().to_string();
        let id = |process: PathBuf| Some(process.file_name()?.to_string_lossy().into_owned());
        processes_tagged(&self.tag).filter_map(id).filter(|id| *id != own).collect()
    }

    /// Processes whose parent is the watchdog, dead ones too.
    pub(crate) fn children(&self) -> Vec<String> {
        let id = self.child.id().to_string();
        let output = Command::new("ps").args(["-o", "pid=,stat=,args=", "--ppid", &id]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// Processes of the watchdog's functions that run the program of this name.
    pub(crate) fn functions_named(&self, name: &str) -> usize {
        let runs = |process: &PathBuf| fs::read_to_string(process.join("comm")).is_ok_and(|comm| comm.trim() == name);
        processes_tagged(&self.tag).filter(runs).count()
    }

    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// How many are open when no connection is, and all threads run that there can be.
    pub(crate) fn idle_descriptors(&self) -> usize {
        let held: Vec<_> = (0..THREADS).map(|_| TcpStream::connect(self.address).unwrap()).collect();
        // It is accepted after them.
        assert_eq!(self.get("/_/health").status, 200);
        let before = self.descriptors();
        drop(held);
        wait_until("no connection is open", || self.descriptors() + THREADS <= before);
        self.descriptors()
    }

    /// The most memory that it had so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    pub(crate) fn wait_until_no_function_runs(&self) {
        wait_until("no process is left", || self.functions() == 0);
    }

    pub(crate) fn wait_until_ready(&self) {
        wait_until("the function is ready", || self.get("/_/ready").status == 200);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        kill_tree(None, &self.tag);
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) fn metrics(port: u16) -> String {
    send(([127, 0, 0, 1], port).into(), "GET", "/metrics", &[], b"").text()
}

/// How many processes wait for a request, as the watchdog itself counts them.
pub(crate) fn waiting_processes(metrics_port: u16) -> usize {
    let page = metrics(metrics_port);
    let line = page.lines().find(|line| line.starts_with("skep_watchdog_waiting_processes ")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

pub(crate) fn command(settings: &[(&str, &str)], tag: &ProcessTag) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fwatchdog"));
    command
        .env(ProcessTag::VARIABLE, tag.as_str())
        .envs([("port", "0"), ("metrics_port", "0"), ("listen_address", "127.0.0.1")])
        .envs([("suppress_lock", "true"), ("healthcheck_interval", "0s")])
        .envs(settings.iter().copied())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Reads STDERR for as long as there is any, and returns the address that it names.
pub(crate) fn read_log(child: &mut Child, log: &Arc<Mutex<Vec<String>>>) -> SocketAddr {
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let (_, address) = line.split_once("Listening on ").unwrap_or_else(|| panic!("{line}"));
    let address = address.split(['\n', '"']).next().unwrap().parse().unwrap();
    log.lock().unwrap().push(line.trim_end().to_owned());
    let log = Arc::clone(log);
    thread::spawn(move || {
        let mut line = Vec::new();
        while stderr.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            log.lock().unwrap().push(String::from_utf8_lossy(&line).trim_end().to_owned());
            line.clear();
        }
    });
    address
}

/// Processes that carry the tag, the dead ones not counted.
pub(crate) fn tagged(tag: &ProcessTag) -> usize {
    processes_tagged(tag).count()
}

fn processes_tagged(tag: &ProcessTag) -> impl Iterator<Item = PathBuf> {
    let mark = format!("{}=", ProcessTag::VARIABLE).into_bytes();
    fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path()).filter(move |process| {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        let mut values = environment.split(|byte| *byte == 0).filter_map(|variable| variable.strip_prefix(&mark[..]));
        values.any(|value| tag.covers(&String::from_utf8_lossy(value)))
    })
}

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
