//! What must be in place before anything is started: a data directory for this process alone, and the programs.

use std::{
    fs::{self, DirBuilder, File, Permissions, TryLockError},
    io,
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use skep_provider::WATCHDOG;

use crate::{
    args::ProviderArgs,
    failure::{Failure, Result, bad_setting},
};

const LOCK: &str = "lock";
/// What others than the owner may do.
const OF_OTHERS: u32 = 0o077;

/// The data folder, held for this process until it is dropped (or killed: the kernel lets go).
pub(crate) struct DataDir {
    pub(crate) path: PathBuf,
    _lock: File,
}

impl DataDir {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let bad = |error: io::Error| bad_setting("--data-dir", format!("cannot use {}: {error}", path.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(bad)?;
        let path = path.canonicalize().map_err(bad)?;
        close_to_others(&path)?;
        let mut lock = File::options();
        let lock = lock.create(true).truncate(false).write(true).mode(0o600).open(path.join(LOCK)).map_err(bad)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(bad_setting("--data-dir", format!("{} is in use by another skep", path.display())))
            }
            Err(TryLockError::Error(error)) => Err(bad(error)),
        }
    }
}

impl DataDir {
    /// Whether a running skep holds it.
    pub(crate) fn is_in_use(path: &Path) -> bool {
        let lock = File::open(path.join(LOCK));
        lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

/// Leaves a folder to its owner alone; one that others use too is refused.
fn close_to_others(path: &Path) -> Result<()> {
    let bad = |error: io::Error| bad_setting("--data-dir", format!("cannot use {}: {error}", path.display()));
    let found = fs::metadata(path).map_err(bad)?;
    let me = rustix::process::geteuid().as_raw();
    if found.uid() != me {
        let reason = format!("{} belongs to user {} and skep runs as user {me}", path.display(), found.uid());
        return Err(bad_setting("--data-dir", format!("{reason}; chown it, or choose another folder")));
    }
    if found.mode() & OF_OTHERS == 0 {
        return Ok(());
    }
    let is_ours = path.join(LOCK).exists() || fs::read_dir(path).map_err(bad)?.next().is_none();
    if !is_ours {
        let reason = format!("{} has other files in it and is open to other users", path.display());
        return Err(bad_setting("--data-dir", format!("{reason}; choose a folder for skep alone, or chmod 700 it")));
    }
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(bad)
}

/// Refuses to run functions as root, unless that is asked for.
pub(crate) fn require_no_root(args: &ProviderArgs) -> Result<()> {
    if rustix::process::geteuid().is_root() && !args.allow_root {
        let reason = "skep runs as root, and so would every function: run it as another user, or add --allow-root if that \
                      is intended, for example in a container of its own";
        return Err(bad_setting("--allow-root", reason));
    }
    Ok(())
}

/// The watchdog: as given, or installed with this program, or this program itself, which is larger (ADR 31).
pub(crate) fn find_watchdog(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        return if given.is_file() {
            given.canonicalize().map_err(Failure::internal)
        } else {
            Err(bad_setting("--watchdog", format!("{} is not a file", given.display())))
        };
    }
    let this = std::env::current_exe().map_err(Failure::internal)?;
    Ok(beside(&this, WATCHDOG).find(|program| program.is_file()).unwrap_or(this))
}

/// Where another program is that was installed with this one: beside it, or in `lib/skep` beside its folder, as packages have it.
pub(crate) fn beside(this: &Path, name: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let package = this.parent().and_then(Path::parent).map(|prefix| prefix.join("lib/skep").join(name));
    std::iter::once(this.with_file_name(name)).chain(package)
}

/// What this machine cannot do of the sandbox that hides a folder, in a line each; a watchdog finds out by entering it.
pub(crate) fn sandbox_gaps(watchdog: &Path, hidden: &Path) -> Vec<String> {
    let checked =
        Command::new(watchdog).arg0(WATCHDOG).arg("--check-sandbox").arg("--hidden").arg(hidden).env_clear().output();
    match checked {
        Ok(output) if output.status.success() => lines(&output.stdout),
        Ok(output) => lines(&output.stderr),
        Err(error) => vec![format!("{} cannot be started: {error}", watchdog.display())],
    }
}

fn lines(output: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(output).lines().map(str::to_owned).collect()
}
