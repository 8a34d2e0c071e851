//! A disk of a test's own, in memory: its power can be cut, it can be full, and it can break.
//!
//! It is a file system of the kernel's (FUSE) whose files this process has, so programs use it as any other.

mod files;
mod fuse;

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fuser::{BackgroundSession, Config, MountOption, SessionACL};
use tempfile::TempDir;

use self::{files::Files, fuse::Mounted};

/// What the disk says when it cannot do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    NotFound,
    Exists,
    NotEmpty,
    IsFolder,
    IsNoFolder,
    Full,
    Broken,
}

pub(crate) struct Disk {
    files: Arc<Mutex<Files>>,
    /// Unmounts when it is dropped, so before the folder is.
    session: Option<BackgroundSession>,
    folder: TempDir,
}

impl Disk {
    /// An empty disk, at a folder of its own.
    pub(crate) fn mount() -> Self {
        let folder = tempfile::Builder::new().prefix("skep-test-disk-").tempdir().unwrap();
        let mut disk = Self { files: Arc::default(), folder, session: None };
        disk.attach();
        disk
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn attach(&mut self) {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("skep-test".to_owned())];
        config.acl = SessionACL::All;
        let mounted = Mounted(Arc::clone(&self.files));
        self.session = Some(fuser::spawn_mount(mounted, &self.folder, &config).unwrap());
    }

    /// Its thread goes when no other namespace has a copy of the mount, which may take a while.
    fn detach(&mut self) {
        drop(self.session.take());
        assert!(fs::read_dir(self.folder()).unwrap().next().is_none(), "somebody uses the disk still");
    }

    /// The power is cut and comes back: all that was not synced is gone. Processes that used it must be dead.
    pub(crate) fn cut(&mut self) {
        // With it go the kernel's own copies.
        self.detach();
        self.files().cut();
        self.attach();
    }

    /// All that is there is brought to the disk.
    pub(crate) fn sync_all(&self) {
        self.files().sync_all();
    }

    /// From now on nothing more fits on it.
    pub(crate) fn fill(&self) {
        let mut files = self.files();
        files.faults.capacity = Some(files.used());
    }

    /// There is space again.
    pub(crate) fn free(&self) {
        self.files().faults.capacity = None;
    }

    /// Whether a sync brings anything to the disk, or fails.
    pub(crate) fn fail_syncs(&self, fail: bool) {
        self.files().faults.syncs_fail = fail;
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
