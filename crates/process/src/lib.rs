//! The end of process trees: kills a program and everything it started, also what left its process group.
//!
//! A program is started as the leader of a process group and with a [`ProcessTag`] in its environment.
//! The group finds its ordinary children, the tag those that called `setsid` or lost their parent, and descent those that cleared their environment.
//! On Linux `/proc` tells; on other systems only the process group ends.
//! This crate does not start programs and knows nothing of functions.

#[cfg(target_os = "linux")]
mod cpu;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod orphan;
#[cfg(not(target_os = "linux"))]
mod portable;
#[cfg(target_os = "linux")]
mod proc;
mod tag;

use rustix::process::{Pid, Signal, kill_process_group};

#[cfg(target_os = "linux")]
pub use cpu::cpu_time;
#[cfg(target_os = "linux")]
pub use linux::{kill_descendants, kill_tree};
#[cfg(target_os = "linux")]
pub use orphan::{Orphan, adopt_orphans, kill_orphan, orphans, reap};
#[cfg(not(target_os = "linux"))]
pub use portable::{Orphan, adopt_orphans, cpu_time, kill_descendants, kill_orphan, kill_tree, orphans, reap};
pub use tag::ProcessTag;

/// Asks a process group to end (SIGTERM); `leader` is its first process, which must not have been waited for yet.
pub fn terminate_group(leader: u32) {
    signal_group(leader, Signal::TERM);
}

/// Kills a process group at once, without looking for what left it; `leader` must not have been waited for yet.
pub fn kill_group(leader: u32) {
    signal_group(leader, Signal::KILL);
}

fn signal_group(leader: u32, signal: Signal) {
    if let Some(pid) = to_pid(leader) {
        // The only failure is a group that is gone already.
        let _ = kill_process_group(pid, signal);
    }
}

/// `None` for 0 and 1 as well: as targets these would be the caller's own group and every process of the machine.
fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw)
}
