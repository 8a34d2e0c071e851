//! What processes and all that they started take of memory and CPU time, from `/proc`.

use std::fs;

use anyhow::{Context, Result};
use rustix::param::clock_ticks_per_second;

/// One process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) id: u32,
    pub(crate) parent: u32,
    /// Clock ticks of its own, and of the children that it has waited for.
    own: u64,
    waited_for: u64,
}

impl Member {
    pub(crate) fn own_seconds(self) -> f64 {
        self.own as f64 / clock_ticks_per_second() as f64
    }

    pub(crate) fn seconds_of_ended_children(self) -> f64 {
        self.waited_for as f64 / clock_ticks_per_second() as f64
    }
}

/// A process and its descendants, itself first.
pub(crate) fn of(root: u32) -> Result<Vec<Member>> {
    let all = all()?;
    let mut found: Vec<Member> = all.iter().copied().filter(|member| member.id == root).collect();
    let mut next = 0;
    while let Some(member) = found.get(next) {
        let parent = member.id;
        found.extend(all.iter().filter(|member| member.parent == parent));
        next += 1;
    }
    Ok(found)
}

/// Memory of a process, and of its descendants, in MB of a million bytes. What several share counts once (PSS).
pub(crate) fn memory_mb(root: u32) -> Result<(f64, f64)> {
    let (mut own, mut others) = (0.0, 0.0);
    for member in of(root)? {
        // It may have ended meanwhile.
        let Ok(text) = fs::read_to_string(format!("/proc/{}/smaps_rollup", member.id)) else { continue };
        let kib = pss_kib(&text).with_context(|| format!("/proc tells no memory of process {}", member.id))?;
        *(if member.id == root { &mut own } else { &mut others }) += kib * 1024.0 / 1e6;
    }
    Ok((own, others))
}

fn all() -> Result<Vec<Member>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").context("processes are read from /proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may have ended meanwhile.
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        all.push(member(id, &stat).with_context(|| format!("/proc/{id}/stat cannot be read: {stat}"))?);
    }
    Ok(all)
}

/// A process by its line in `/proc/PID/stat`.
fn member(id: u32, stat: &str) -> Option<Member> {
    // The program's name is in parentheses, and may have some itself. The state comes next, then the parent.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<u64>().ok();
    Some(Member {
        id,
        parent: fields.get(1)?.parse().ok()?,
        own: ticks(11)? + ticks(12)?,
        waited_for: ticks(13)? + ticks(14)?,
    })
}

fn pss_kib(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_read_whatever_the_program_is_called() {
        let stat = "7 (a) 9 (b c) S 3 7 7 0 -1 4194560 100 200 0 0 11 22 33 44 20 0 1 0 500 1000 20";
        assert_eq!(member(7, stat), Some(Member { id: 7, parent: 3, own: 33, waited_for: 77 }));
    }

    #[test]
    fn memory_is_the_line_pss() {
        let text = "5500-7ffd ---p 00000000 00:00 0 [rollup]\nRss:  884 kB\nPss:  385 kB\nPss_Dirty:  68 kB\n";
        assert_eq!(pss_kib(text), Some(385.0));
    }

    #[test]
    fn a_child_belongs_to_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let found = of(std::process::id()).unwrap();
        assert_eq!(found.first().map(|member| member.id), Some(std::process::id()));
        let found_child = found.iter().any(|member| member.id == child.id() && member.parent == std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found_child, "{found:?}");
    }
}
