//! What `/proc` tells about processes.

use std::{
    fs::{self, File},
    io::Read,
};

use crate::tag::ProcessTag;

/// `PF_KTHREAD`
const KERNEL_THREAD: u32 = 0x0020_0000;

/// One process, as `/proc/PID/stat` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    /// Has ended, or ends just now: no signal reaches it any more.
    pub(crate) dead: bool,
    /// A thread of the kernel's, which is nobody's.
    pub(crate) kernel: bool,
    /// In clock ticks since boot.
    pub(crate) started: u64,
}

/// All processes in the order of their ids.
///
/// They are read one by one while the iterator goes on, so that a process that is stopped on the way cannot start one that is missed: new ids are higher.
pub(crate) fn processes() -> impl Iterator<Item = Process> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(read_process)
}

pub(crate) fn read_process(pid: u32) -> Option<Process> {
    let mut buffer = [0; 1024];
    let length = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut buffer).ok()?;
    parse_stat(pid, buffer.get(..length)?)
}

/// What the environment tells that a process was started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Tag(String),
    None,
    /// The environment is empty, as it also is for a moment while a program is exchanged for another.
    Unsure,
}

pub(crate) fn mark_of(pid: u32) -> Mark {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else {
        return Mark::None;
    };
    if environment.is_empty() {
        return Mark::Unsure;
    }
    let value = environment.split(|byte| *byte == 0).find_map(|variable| {
        let value = variable.strip_prefix(ProcessTag::VARIABLE.as_bytes())?.strip_prefix(b"=")?;
        String::from_utf8(value.to_vec()).ok()
    });
    value.map_or(Mark::None, Mark::Tag)
}

fn parse_stat(pid: u32, stat: &[u8]) -> Option<Process> {
    // The name in parentheses may hold anything, also parentheses and spaces.
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = str::from_utf8(stat.get(name_end + 1..)?).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let flags: u32 = fields.nth(3)?.parse().ok()?;
    let started = fields.nth(12)?.parse().ok()?;
    let dead = matches!(state, "Z" | "X" | "x");
    Some(Process { pid, parent, group, dead, kernel: flags & KERNEL_THREAD != 0, started })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_confuse_the_fields() {
        let stat = b"42 (a) Z (b) S 7 40 40 0 -1 69238848 1 2 3 4 5 6 7 8 20 0 1 0 12345 99 1\n";
        let process = parse_stat(42, stat).unwrap();
        assert_eq!(process, Process { pid: 42, parent: 7, group: 40, dead: false, kernel: true, started: 12345 });
        assert!(parse_stat(42, b"42 (cut").is_none());
    }

    #[test]
    fn this_process_is_among_all_of_them() {
        let own = std::process::id();
        assert!(processes().any(|process| process.pid == own && !process.dead && process.started > 0));
    }
}
