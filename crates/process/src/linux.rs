//! Kills whole trees with the help of `/proc`.

use std::{
    collections::HashSet,
    process, thread,
    time::{Duration, Instant},
};

use rustix::process::{Signal, kill_process};

use crate::{
    proc::{Mark, mark_of, processes},
    signal_group,
    tag::ProcessTag,
    to_pid,
};

/// How long the hunt goes on; only a fork bomb or processes stuck in the kernel come near it.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at processes that were killed and have not ended yet.
const CHECK_INTERVAL: Duration = Duration::from_millis(3);
/// How many looks must find nothing while there are processes that may be in the middle of an exec.
const MIN_CHECKS: usize = 4;

/// Kills a program and everything it started, and returns how many processes are left when the bound is reached, normally 0.
///
/// `leader` is the first process of the program's own group and must not have been waited for yet, else its id may be another's already: then give `None`, the tag alone is safe at any time.
/// It blocks for some milliseconds.
pub fn kill_tree(leader: Option<u32>, tag: &ProcessTag) -> usize {
    // Stopped first and not killed: a dead process no longer shows whose parent it was.
    if let Some(leader) = leader {
        signal_group(leader, Signal::STOP);
    }
    hunt(&Prey { leader, tag, ancestor: None })
}

/// Kills what carries the tag and every descendant of this process, so with [`crate::adopt_orphans`] everything that it ever started.
pub fn kill_descendants(tag: &ProcessTag) -> usize {
    hunt(&Prey { leader: None, tag, ancestor: Some(process::id()) })
}

struct Prey<'a> {
    leader: Option<u32>,
    tag: &'a ProcessTag,
    ancestor: Option<u32>,
}

/// What one look found.
#[derive(Default)]
struct Sight {
    alive: usize,
    /// There were processes whose mark could not be read.
    unsure: bool,
}

/// Stops all before it kills the first, so that nothing forks away meanwhile.
fn hunt(prey: &Prey<'_>) -> usize {
    let deadline = Instant::now() + KILL_TIMEOUT;
    let mut stopped = HashSet::new();
    let mut looks_in_vain = 0;
    loop {
        let known = stopped.len();
        let sight = stop_all(prey, &mut stopped);
        if Instant::now() >= deadline {
            return sight.alive;
        }
        if sight.alive == 0 {
            looks_in_vain += 1;
            if !sight.unsure || looks_in_vain == MIN_CHECKS {
                return 0;
            }
        } else {
            looks_in_vain = 0;
            if stopped.len() > known {
                continue;
            }
        }
        for pid in stopped.drain() {
            signal(pid, Signal::KILL);
        }
        thread::sleep(CHECK_INTERVAL);
    }
}

/// Stops what belongs to the prey and was not stopped before.
fn stop_all(prey: &Prey<'_>, stopped: &mut HashSet<u32>) -> Sight {
    let own = process::id();
    let mut family: HashSet<u32> = prey.leader.into_iter().chain(prey.ancestor).collect();
    let mut sight = Sight::default();
    for process in processes().filter(|process| process.pid != own && !process.kernel) {
        let related = prey.leader.is_some_and(|leader| leader == process.pid || leader == process.group)
            || family.contains(&process.parent);
        let belongs = related
            || match mark_of(process.pid) {
                Mark::Tag(value) => prey.tag.covers(&value),
                Mark::None => false,
                Mark::Unsure => {
                    sight.unsure |= !process.dead;
                    false
                }
            };
        if !belongs {
            continue;
        }
        family.insert(process.pid);
        if process.dead {
            continue;
        }
        sight.alive += 1;
        if stopped.insert(process.pid) {
            signal(process.pid, Signal::STOP);
        }
    }
    sight
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = to_pid(pid) {
        // A process that is gone meanwhile is what is wanted; one that may not be signalled is counted as left.
        let _ = kill_process(pid, signal);
    }
}
