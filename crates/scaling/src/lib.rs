//! How many replicas a function should have: a decision each second, from what was seen of the function and its policy.
//!
//! [`decide`] is a pure function: it reads no clock, does no I/O, and knows neither the bus nor a provider.
//! The controller calls it once a second for each function, and the simulator calls it with simulated time.
//!
//! # The unit
//!
//! A *slot* is room for one call; a replica has [`Policy::slots`] of them.
//! *Occupancy* is how long a call holds its slot, which includes what the platform itself needs.
//! *Load* is the number of slots that are held on average: by Little's law, arrivals per second times occupancy.
//!
//! # What an observation means
//!
//! An [`Observation`] covers the time since the one before, about a second.
//! Counts and integrals are sums over all gateways and queue-workers. Anything else is the state at the end of the second.
//! Each call is in one place: it waits ([`Observation::held`], [`Observation::waiting`]), or it runs ([`Observation::in_flight`]), or it is not yet due.
//! Pauses between attempts and delays are not waiting, as no replica could shorten them.

mod auto;
mod bounds;
mod decide;
mod decision;
mod failures;
mod history;
pub mod nodes;
mod observation;
mod policy;
mod record;
mod seconds;
mod staff;
mod state;
mod target;

pub use self::{
    decide::decide,
    decision::{Decision, Reason},
    observation::{Observation, Room},
    policy::{Kind, Policy},
    record::Record,
    state::State,
};
