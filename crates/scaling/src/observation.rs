//! What a decision is made from.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::seconds;

/// What was seen of one function since the observation before; the module docs say what counts where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Observation {
    /// Calls that began to want a replica: synchronous ones that came in, and queued ones that were delivered or set aside for the first time.
    pub arrived: f64,
    /// The time that calls held slots, summed over all calls: two calls that run for the whole second are 2 s.
    #[serde(with = "seconds")]
    pub busy: Duration,
    /// Calls that ended, well or badly.
    pub done: f64,
    /// Those of them that ended in an error of the platform or in a status of 500 or more.
    pub failed: f64,
    /// Calls that run now.
    pub in_flight: f64,
    /// How long the oldest running call has run, or the longest one that ended, whichever is more.
    #[serde(with = "seconds")]
    pub longest: Duration,
    /// Synchronous calls that wait for a replica.
    pub held: f64,
    /// Queued calls that could run now.
    pub waiting: f64,
    /// How long the oldest of the held and waiting calls has waited.
    #[serde(with = "seconds")]
    pub age: Duration,
    /// Delayed calls, retries and calls of schedules that are due within the start time of a replica and two seconds.
    pub due: f64,
    /// Replicas that take calls.
    pub ready: u32,
    /// Replicas that the function should have, and that do not take calls: they start, or wait for room, or have failed.
    pub starting: u32,
    /// Everything that should have reported has; otherwise the sums may be too small, and nothing is scaled down.
    pub complete: bool,
    /// What a ready replica uses of the CPU, on average over all of them, in thousandths of a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// What limits the number of replicas where they run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Room>,
}

impl Observation {
    /// Replicas that the function should have now.
    pub fn replicas(&self) -> u32 {
        self.ready.saturating_add(self.starting)
    }

    /// Calls that wait for a slot.
    pub fn queued(&self) -> f64 {
        self.held + self.waiting
    }
}

/// What the machine or the cluster can hold of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Room {
    /// The most replicas of this function that fit; `None` if machines can be added for more.
    pub replicas: Option<u32>,
    /// What is lacking, to be read after a number of replicas: `insufficient memory on 3 nodes`.
    pub why: String,
}
