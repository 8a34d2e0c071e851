//! Processes of this machine, looked up in `/proc` by what their environment holds.

use std::{fs, path::Path};

use rustix::process::{Pid, Signal, kill_process};

/// A process whose environment holds a text.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: u32,
    pub(crate) command: String,
}

/// All living processes whose environment holds the text; a dead one that was not waited for has none.
pub(crate) fn processes_with(text: &str) -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap_or_else(|error| panic!("these tests look into /proc: {error}"));
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter_map(|id: u32| {
        let folder = Path::new("/proc").join(id.to_string());
        let environment = fs::read(folder.join("environ")).ok()?;
        let found = environment.windows(text.len()).any(|window| window == text.as_bytes());
        let command = fs::read(folder.join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned();
        found.then_some(Process { id, command })
    })
    .collect()
}

impl Process {
    /// Whether it is this program, by its file name.
    pub(crate) fn is(&self, program: &str) -> bool {
        let path = self.command.split(' ').next().unwrap_or_default();
        Path::new(path).file_name().is_some_and(|name| name == program)
    }

    /// The most memory that it has had so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Kills it with -9; it may be gone already.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Signals it; it may be gone already.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.id).ok().and_then(Pid::from_raw);
        let _ = pid.map(|pid| kill_process(pid, signal));
    }
}
