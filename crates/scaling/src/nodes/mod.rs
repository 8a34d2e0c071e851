//! How many machines a cluster should have: which to ask for, and which to let go.
//!
//! [`plan`] is a pure function from what a cluster looks like to the next steps. What has to survive the process that plans is in labels
//! of nodes: each node's [`Phase`], and the last [`Addition`]. [`Memory`] holds only times from which to wait on; a new one waits longer.
//! A machine that is *elastic* has been made by the hook; no other is ever touched.

mod pack;
mod plan;

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

pub use self::{pack::machines, plan::plan};

/// Seconds since 1970.
pub type Seconds = u64;

/// What a cluster looks like.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// All of its nodes but managers.
    pub nodes: Vec<Node>,
    /// Tasks that wait because no node has enough resources.
    pub pending: Vec<Pending>,
    /// Hostnames of the machines that the hook knows.
    pub machines: Vec<String>,
    /// What one of them has.
    pub size: Size,
    /// The last addition that was asked for.
    pub addition: Option<Addition>,
}

#[derive(Clone, Debug, Default)]
pub struct Node {
    pub id: String,
    pub hostname: String,
    pub up: bool,
    /// `None`: it is not known to be elastic yet.
    pub phase: Option<Phase>,
    /// When it came into its phase.
    pub since: Seconds,
    /// Tasks on it that run or start, without those of services that run on each node.
    pub tasks: usize,
    /// All tasks on it that run or start.
    pub all_tasks: usize,
}

/// Where an elastic node is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It takes tasks.
    Active,
    /// It takes no new tasks, and has none.
    Pausing,
    /// Tasks of services that run on each node leave it.
    Draining,
    /// The hook is asked to remove its machine.
    Removing,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Active, Self::Pausing, Self::Draining, Self::Removing];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pausing => "pausing",
            Self::Draining => "draining",
            Self::Removing => "removing",
        }
    }
}

impl FromStr for Phase {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == word).ok_or(())
    }
}

/// Resources, of a machine or of one task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Billionths of a core; 0 for a machine of which it is not known.
    pub nano_cpus: u64,
    /// In bytes; 0 as above.
    pub memory: u64,
}

/// Tasks of one function that wait for resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    pub function: String,
    pub tasks: u32,
    /// What each of them reserves.
    pub each: Size,
    /// Since when the first of them waits.
    pub since: Seconds,
}

/// Machines that were asked for. It is written to the cluster before the hook is called, so that the same call can be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addition {
    pub at: Seconds,
    pub count: u32,
    /// The hook has accepted it.
    pub accepted: bool,
}

impl Addition {
    /// The same for each call about this addition.
    pub fn key(&self) -> String {
        format!("add-{}-{}", self.at, self.count)
    }
}

impl fmt::Display for Addition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.accepted { "accepted" } else { "asked" };
        write!(f, "{} {} {state}", self.at, self.count)
    }
}

impl FromStr for Addition {
    type Err = ();

    fn from_str(label: &str) -> Result<Self, ()> {
        let mut words = label.split(' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        let (at, count) = (number().ok_or(())?, number().ok_or(())?);
        let accepted = words.next() == Some("accepted");
        Ok(Self { at, count: u32::try_from(count).map_err(drop)?, accepted })
    }
}

/// What the operator allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most machines that the hook may have made at once.
    pub max: u32,
    /// How long a machine may take until it has joined.
    pub start: Duration,
    /// How long a node must have had no task until it is let go.
    pub idle: Duration,
}

/// The next thing to do; what it changes is seen in the next [`Cluster`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Marks a node that has joined as elastic and active.
    Adopt { node: String },
    /// Writes the addition, calls the hook, and writes that it was accepted.
    Add { addition: Addition },
    /// Puts a node into a phase: its label, and whether it takes tasks.
    Enter { node: String, phase: Phase },
    /// Calls the hook to remove the machine of a node, and then removes the node.
    Remove { node: String, hostname: String },
    /// Calls the hook to remove a machine that has never joined.
    Discard { hostname: String },
    /// Says that tasks wait for resources that no machine has.
    TooLarge { function: String },
}

/// Since when something is as it is. It may be lost: everything then takes as long again.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Nodes without tasks, nodes that are down, and machines that have not joined.
    since: BTreeMap<(Watched, String), Seconds>,
    /// When the hook was last called about something.
    called: BTreeMap<String, Seconds>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Watched {
    Idle,
    Down,
    Absent,
}

impl Memory {
    /// For how many seconds this has been so; from now on, if it is new.
    fn lasts(&mut self, what: Watched, of: &str, now: Seconds) -> u64 {
        now.saturating_sub(*self.since.entry((what, of.to_owned())).or_insert(now))
    }

    fn ends(&mut self, what: Watched, of: &str) {
        self.since.remove(&(what, of.to_owned()));
    }

    /// Whether the hook may be called about this again.
    fn may_call(&mut self, key: &str, now: Seconds, pause: u64) -> bool {
        let may = self.called.get(key).is_none_or(|last| now.saturating_sub(*last) >= pause);
        if may {
            self.called.insert(key.to_owned(), now);
        }
        may
    }
}
