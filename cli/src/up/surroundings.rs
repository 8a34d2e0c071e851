//! What must be in place before anything is started: the data folder for us alone, and the programs.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    process::Command,
};

use crate::failure::{Failure, Result, bad_setting};

/// The data folder, held for this process until it is dropped (or killed: the kernel lets go).
pub(crate) struct DataDir {
    pub(crate) path: PathBuf,
    _lock: File,
}

impl DataDir {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let bad = |error: std::io::Error| bad_setting("--data-dir", format!("cannot use {}: {error}", path.display()));
        std::fs::create_dir_all(path).map_err(bad)?;
        let path = path.canonicalize().map_err(bad)?;
        let lock = File::options().create(true).truncate(false).write(true).open(path.join("lock")).map_err(bad)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(bad_setting("--data-dir", format!("{} is in use by another skep", path.display())))
            }
            Err(TryLockError::Error(error)) => Err(bad(error)),
        }
    }
}

/// The watchdog: as given, or beside this program, or on PATH.
pub(crate) fn find_watchdog(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        return if given.is_file() {
            given.canonicalize().map_err(Failure::internal)
        } else {
            Err(bad_setting("--watchdog", format!("{} is not a file", given.display())))
        };
    }
    let beside = std::env::current_exe().map_err(Failure::internal)?.with_file_name("fwatchdog");
    if beside.is_file() {
        return Ok(beside);
    }
    let path = std::env::vars_os().find(|(name, _)| name == "PATH").map(|(_, value)| value).unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join("fwatchdog"))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| bad_setting("--watchdog", "fwatchdog is neither beside skep nor on PATH"))
}

/// What this machine cannot do of the sandbox that hides a folder, in a line each; a watchdog finds out by entering it.
pub(crate) fn sandbox_gaps(watchdog: &Path, hidden: &Path) -> Vec<String> {
    let checked = Command::new(watchdog).arg("--check-sandbox").arg("--hidden").arg(hidden).env_clear().output();
    match checked {
        Ok(output) if output.status.success() => lines(&output.stdout),
        Ok(output) => lines(&output.stderr),
        Err(error) => vec![format!("{} cannot be started: {error}", watchdog.display())],
    }
}

fn lines(output: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(output).lines().map(str::to_owned).collect()
}
