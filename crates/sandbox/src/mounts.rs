//! A folder is covered by an empty one, for this process and those that it starts.

use std::{env, fs, fs::File, io, os::fd::AsRawFd, path::Path};

use nix::sched::{CloneFlags, unshare};
use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change, mount_remount},
    process::{getegid, geteuid},
};

/// Covers a folder, except for folders in it that are kept.
pub(crate) fn cover<'kept>(folder: &Path, kept: impl Iterator<Item = &'kept std::path::PathBuf>) -> io::Result<()> {
    let working_folder = env::current_dir()?;
    own_mounts()?;
    let mut open = Vec::new();
    for path in kept.filter(|path| path.starts_with(folder)) {
        open.push((path, File::open(path)?));
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("tmpfs", folder, "tmpfs", flags, Some(c"mode=0755,size=64k"))?;
    for (path, file) in open {
        fs::create_dir_all(path)?;
        mount_bind_recursive(format!("/proc/self/fd/{}", file.as_raw_fd()), path)?;
    }
    mount_remount(folder, flags | MountFlags::RDONLY, c"")?;
    // By its path, because what is open still leads below the cover.
    env::set_current_dir(working_folder)
}

/// Mounts that others do not see; without the right to them, in a user namespace with the same user.
fn own_mounts() -> io::Result<()> {
    if unshare(CloneFlags::CLONE_NEWNS).is_err() {
        let (user, group) = (geteuid().as_raw(), getegid().as_raw());
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
        fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
    }
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    Ok(())
}
