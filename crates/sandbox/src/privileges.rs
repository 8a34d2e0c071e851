//! Rights that have nothing to do with files.

use std::{fs, os::unix::fs::MetadataExt};

use rustix::{
    io::{Errno, Result},
    process::{Resource, Rlimit, geteuid, getrlimit, setrlimit},
    thread::{
        CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set,
        set_capabilities, set_no_new_privs,
    },
};

/// How many processes and threads the user may have beyond those that there are when a sandbox is entered.
const MORE_PROCESSES: u64 = 1024;

/// From now on no program gives more rights than its caller has, whatever bits its file has.
pub(crate) fn gain_none() -> Result<()> {
    set_no_new_privs(true)
}

/// Gives up all capabilities, and that programs could get them back.
pub(crate) fn drop_capabilities() -> Result<()> {
    for bit in 0..u64::BITS {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit)) {
            Ok(()) => {}
            // After the last one that the kernel knows; or without the right, and then there are none to lose.
            Err(Errno::INVAL | Errno::PERM) => break,
            Err(error) => return Err(error),
        }
    }
    // Kernels before 4.3 have no such set.
    let _ = clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}

/// Bounds a fork bomb. The kernel counts by user and leaves root out.
pub(crate) fn limit_processes() {
    if geteuid().is_root() {
        return;
    }
    let most = processes_of(geteuid().as_raw()) + MORE_PROCESSES;
    let allowed = getrlimit(Resource::Nproc);
    let lower = |limit: Option<u64>| Some(limit.map_or(most, |limit| limit.min(most)));
    // Lowering a limit is always allowed.
    let _ = setrlimit(Resource::Nproc, Rlimit { current: lower(allowed.current), maximum: lower(allowed.maximum) });
}

/// All threads of a user's processes, as the kernel counts them.
fn processes_of(uid: u32) -> u64 {
    let threads = |entry: fs::DirEntry| {
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        let tasks = fs::metadata(entry.path().join("task")).ok()?;
        // A folder has a link for itself, one in its parent, and one for each folder in it.
        (tasks.uid() == uid).then(|| tasks.nlink().saturating_sub(2))
    };
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(threads).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_gained_also_where_the_kernel_has_neither_landlock_nor_seccomp() {
        // Both of them ask for the same, but only where they are. It is a matter of one thread.
        let status = || fs::read_to_string("/proc/thread-self/status").unwrap();
        let status = std::thread::spawn(move || {
            gain_none().unwrap();
            status()
        });
        assert!(status.join().unwrap().contains("NoNewPrivs:\t1"));
    }
}
