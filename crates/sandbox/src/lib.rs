//! Restrictions that a process puts on itself and on everything that it starts afterwards.
//!
//! A process enters a [`Sandbox`] once, before it makes threads; everything that it starts inherits the sandbox, so starting a program costs no more than before.
//! On Linux it may gain no rights, has no capabilities, writes only where it is allowed to, does not see one hidden folder, has no terminal, and can neither signal what is outside nor change its limits.
//! What a kernel cannot do is left out and comes back as a [`Gap`]. This crate starts nothing and knows nothing of functions.

#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod landlocked;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
mod privileges;
#[cfg(target_os = "linux")]
mod syscalls;

use std::{
    fmt::{self, Display, Formatter},
    io,
    path::PathBuf,
};

use thiserror::Error;

/// What remains allowed.
#[derive(Clone, Debug, Default)]
pub struct Sandbox {
    /// A folder that cannot be read, without symbolic links in its path.
    pub hidden: Option<PathBuf>,
    /// Folders in the hidden one that can be read all the same.
    pub readable: Vec<PathBuf>,
    /// Folders that can be read and written, also in the hidden one.
    pub writable: Vec<PathBuf>,
}

/// What the kernel does not do, or not for this user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The system is not Linux.
    System,
    /// No Landlock: files can be written everywhere and all processes of the user can be signalled.
    Landlock,
    /// A Landlock without scopes: all processes of the user can be signalled.
    Signals,
    /// No filter of system calls: the limits of other processes of the user can be changed.
    Limits,
    /// No mount namespace: of a folder that holds the hidden one, only what is there already can be read, and nothing written.
    Mounts,
}

impl Display for Gap {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::System => "only Linux can keep functions in a sandbox",
            Self::Landlock => {
                "the kernel has no Landlock, so functions can write all files that skep can, and signal its processes"
            }
            Self::Signals => "the kernel is older than 6.12, so functions can signal other processes of the user",
            Self::Limits => {
                "the kernel has no filter of system calls (seccomp), so functions can change the limits of other processes of the user"
            }
            Self::Mounts => {
                "mount namespaces cannot be used (see user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns), \
                 so a function whose working folder holds the data folder cannot write there"
            }
        })
    }
}

/// A step that had to work and did not.
#[derive(Debug, Error)]
#[error("{step}")]
pub struct SandboxError {
    step: &'static str,
    source: io::Error,
}

impl Sandbox {
    /// Gives everything else up for good. The process must not have other threads yet.
    #[cfg(target_os = "linux")]
    pub fn enter(&self) -> Result<Vec<Gap>, SandboxError> {
        let mut gaps = Vec::new();
        privileges::gain_none().map_err(failed("no_new_privs"))?;
        let is_covered = match &self.hidden {
            None => true,
            Some(hidden) => mounts::cover(hidden, self.readable.iter().chain(&self.writable)).is_ok(),
        };
        if !is_covered {
            gaps.push(Gap::Mounts);
        }
        let hidden = self.hidden.as_deref().filter(|_| !is_covered);
        let allowed = files::Allowed::around(hidden, self);
        gaps.extend(landlocked::restrict(&allowed).map_err(failed("landlock"))?);
        privileges::limit_processes();
        privileges::drop_capabilities().map_err(failed("capabilities"))?;
        if syscalls::leave_limits_of_others().is_err() {
            gaps.push(Gap::Limits);
        }
        Ok(gaps)
    }

    #[cfg(not(target_os = "linux"))]
    pub fn enter(&self) -> Result<Vec<Gap>, SandboxError> {
        Ok(vec![Gap::System])
    }
}

#[cfg(target_os = "linux")]
fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(step: &'static str) -> impl Fn(E) -> SandboxError {
    move |error| SandboxError { step, source: io::Error::other(error) }
}
