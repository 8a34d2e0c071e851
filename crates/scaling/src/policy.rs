//! What a function's owner and the platform allow.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::seconds;

/// How a function scales; the controller makes it from labels and settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    pub kind: Kind,
    /// The fewest replicas while it runs at all. The same as `max`: it is not scaled.
    pub min: u32,
    pub max: u32,
    /// Calls that one replica runs at once; at least 1.
    pub slots: u32,
    /// How long a call may wait until it begins.
    #[serde(with = "seconds")]
    pub wait: Duration,
    /// What one replica should have, for the kinds `rps`, `capacity`, `queue` (calls) and `cpu` (thousandths of a core).
    pub target: f64,
    /// The share of `target` that is aimed at.
    pub proportion: f64,
    /// The highest number that was needed within this time is wanted; `None`: the kind's own.
    #[serde(with = "seconds::option")]
    pub down_window: Option<Duration>,
    /// How long a replica of this function takes to start.
    #[serde(with = "seconds")]
    pub start: Duration,
    /// Cores that all replicas share, where they run on one machine.
    pub cores: Option<f64>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            kind: Kind::Auto,
            min: 1,
            max: 20,
            slots: 16,
            wait: Duration::from_secs(1),
            target: 50.0,
            proportion: 0.9,
            down_window: None,
            start: Duration::from_secs(2),
            cores: None,
        }
    }
}

/// What the number of replicas follows: the label `com.openfaas.scale.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The load and what waits: for synchronous and queued calls alike.
    #[default]
    Auto,
    /// Calls that end per second.
    Rps,
    /// Calls in flight.
    Capacity,
    /// Use of the CPU.
    Cpu,
    /// The depth of the queue.
    Queue,
    /// Alerts only.
    Alert,
}

impl Kind {
    pub const ALL: [Self; 6] = [Self::Auto, Self::Rps, Self::Capacity, Self::Cpu, Self::Queue, Self::Alert];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Rps => "rps",
            Self::Capacity => "capacity",
            Self::Cpu => "cpu",
            Self::Queue => "queue",
            Self::Alert => "alert",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = String;

    /// The error lists the kinds.
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| format!("{word:?} is not a type of scaling: use {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}
