//! Starting a program that does not outlive its parent, even when the parent is killed with -9.
//!
//! `skep __guard PARENT PROGRAM …` asks the kernel for a signal at its parent's death and then becomes the program; the wish survives `exec`.
//! Watchdogs need no guard: they hold a pipe whose end closes with their owner.

use std::os::unix::process::CommandExt;

use rustix::process::{Pid, Signal};

use crate::{args::GuardArgs, failure::Failure};

/// Becomes the program; returns only if that is not possible.
pub(crate) fn replace_this_process(guard: &GuardArgs) -> Failure {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::TERM)) {
        return Failure::internal(std::io::Error::from(error));
    }
    // The parent may have died before the request took effect.
    let parent = rustix::process::getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get().unsigned_abs());
    if parent != Some(guard.parent) {
        return Failure::setting("the parent process is gone");
    }
    let Some((program, arguments)) = guard.program.split_first() else {
        return Failure::setting("no program was given");
    };
    let error = std::process::Command::new(program).args(arguments).exec();
    Failure::setting(format!("cannot start {}: {error}", program.display()))
}
