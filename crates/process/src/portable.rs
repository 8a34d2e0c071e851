//! Systems without Linux's `/proc`: only process groups are known.

use std::{io, time::Duration};

use crate::{kill_group, tag::ProcessTag};

/// See the Linux version; here it kills the process group only.
pub fn kill_tree(leader: Option<u32>, _tag: &ProcessTag) -> usize {
    if let Some(leader) = leader {
        kill_group(leader);
    }
    0
}

/// See the Linux version; here it does nothing.
pub fn kill_descendants(_tag: &ProcessTag) -> usize {
    0
}

/// A child of this process that this process did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    pub pid: u32,
    pub dead: bool,
    pub tag: Option<String>,
    pub started: u64,
}

/// See the Linux version; here orphans go to process 1.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(())
}

/// See the Linux version; here there are none.
pub fn orphans(_is_own: impl Fn(u32) -> bool) -> Vec<Orphan> {
    Vec::new()
}

/// See the Linux version; here there is nothing to do.
pub fn reap(_orphan: &Orphan) {}

/// See the Linux version; here there is nothing to do.
pub fn kill_orphan(_orphan: &Orphan) {}

/// See the Linux version; here it is not known.
pub fn cpu_time(_pid: u32) -> Option<Duration> {
    None
}
