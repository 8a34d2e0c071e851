//! A simulation of one function under different autoscalers: what replicas cost, against how long calls wait.
//!
//! Calls wait in one queue, first come, first served. A replica takes some seconds to start, runs a fixed number of calls at once,
//! and finishes what it runs when it is taken away. skep's autoscaler is the one that the controller uses, [`skep_scaling::decide`];
//! the others follow the documentation of Knative, Kubernetes and KEDA, with their defaults.
//!
//! What it leaves out: replicas do not share a processor, statistics are exact, and calls do not fail.

pub mod live;
pub mod replay;
pub mod report;
mod run;
pub mod scaler;
pub mod workload;

pub use self::{
    run::{Outcome, run, watch},
    scaler::{Hpa, Keda, Kpa, Scaler, Skep, View},
    workload::Workload,
};
