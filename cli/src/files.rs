//! How many files, and so connections, this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are not connections of callers or to replicas.
const OTHERS: u64 = 100;

/// The limit that the process was started with, and the one that it has.
pub(crate) struct FileLimit {
    given: Rlimit,
    now: Rlimit,
}

impl FileLimit {
    /// Raises the limit to what the system permits: it is low by default for the sake of programs that use select(2).
    ///
    /// Only where functions can be given the former one.
    pub(crate) fn raise() -> Self {
        let given = getrlimit(Resource::Nofile);
        if cfg!(target_os = "linux") {
            // Without it there are fewer connections.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: given.maximum, ..given });
        }
        Self { given, now: getrlimit(Resource::Nofile) }
    }

    /// For functions.
    pub(crate) fn given(&self) -> Rlimit {
        self.given
    }

    /// As many connections as are wanted, or as there are files for: a call takes one for its caller and one to its replica.
    pub(crate) fn connections(&self, wanted: u32) -> usize {
        let files = self.now.current.unwrap_or(u64::MAX);
        let connections = u64::from(wanted).min(files.saturating_sub(OTHERS) / 2).max(1);
        usize::try_from(connections).unwrap_or(usize::MAX)
    }
}
