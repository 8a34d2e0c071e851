//! Processes that lost their parent and were given to this one.

use std::{io, process};

use rustix::process::{Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};

use crate::{
    proc::{Mark, mark_of, processes, read_process},
    to_pid,
};

/// A child of this process that this process did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    pub pid: u32,
    /// It has ended and waits to be [reaped](reap).
    pub dead: bool,
    /// What the variable [`crate::ProcessTag::VARIABLE`] was when it started.
    pub tag: Option<String>,
    /// In clock ticks since boot; with `pid` it names a process for ever.
    pub started: u64,
}

/// Has the descendants of this process given to it, and not to process 1, when they lose their parent.
pub fn adopt_orphans() -> io::Result<()> {
    set_child_subreaper(Some(getpid()))?;
    Ok(())
}

/// The children of this process that `is_own` does not know.
pub fn orphans(is_own: impl Fn(u32) -> bool) -> Vec<Orphan> {
    let own = process::id();
    processes()
        .filter(|process| process.parent == own && !is_own(process.pid))
        .map(|process| Orphan {
            pid: process.pid,
            dead: process.dead,
            tag: match mark_of(process.pid) {
                Mark::Tag(value) => Some(value),
                Mark::None | Mark::Unsure => None,
            },
            started: process.started,
        })
        .collect()
}

/// Takes the exit status of a dead orphan, so that its entry goes.
pub fn reap(orphan: &Orphan) {
    if let Some(pid) = to_pid(orphan.pid) {
        // Someone else may have reaped it meanwhile.
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

/// Kills a live orphan; its children become orphans then.
pub fn kill_orphan(orphan: &Orphan) {
    let same = read_process(orphan.pid)
        .is_some_and(|process| process.parent == process::id() && process.started == orphan.started);
    if let (true, Some(pid)) = (same, to_pid(orphan.pid)) {
        // It may have ended meanwhile.
        let _ = kill_process(pid, Signal::KILL);
    }
}
