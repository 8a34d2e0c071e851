//! What a program and all that it started have used of the CPU.

use std::{fs, time::Duration};

/// Processes that are counted; a program with more is seen in part.
const MAX_PROCESSES: usize = 256;
/// What the kernel counts in, as it shows it: the same on all machines that Rust's standard library supports.
const TICKS_PER_SECOND: u64 = 100;

/// The CPU time of a process, of its descendants, and of those that they have waited for; `None` if it is gone.
///
/// It reads a few files of `/proc` for each process. Of a descendant that ended and that nobody has waited for, nothing is known.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let mut ticks = ticks_of(pid)?;
    let mut family = children_of(pid);
    let mut counted = 1;
    while let Some(pid) = family.pop() {
        if counted == MAX_PROCESSES {
            break;
        }
        counted += 1;
        ticks += ticks_of(pid).unwrap_or(0);
        family.extend(children_of(pid));
    }
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

fn ticks_of(pid: u32) -> Option<u64> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Its own time in user and kernel mode, and that of the children that it has waited for.
fn parse_stat(stat: &[u8]) -> Option<u64> {
    // The name in parentheses may hold anything, also parentheses and spaces.
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = str::from_utf8(stat.get(name_end + 1..)?).ok()?.split_ascii_whitespace();
    fields.skip(11).take(4).map(|field| field.parse::<u64>().ok()).sum()
}

fn children_of(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = b"7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 11 22 33 44 20 0 1 0 100 0 0";
        assert_eq!(parse_stat(stat), Some(110));
        assert_eq!(parse_stat(b"7 (a"), None);
    }

    #[test]
    fn the_time_of_a_grandchild_counts_before_and_after_its_end() {
        let script = "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; read line' ; read line";
        let mut child = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
        let is_seen = || cpu_time(child.id()).unwrap() >= Duration::from_millis(10);
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while !is_seen() {
            assert!(std::time::Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(cpu_time(child.id()), None);
    }
}
