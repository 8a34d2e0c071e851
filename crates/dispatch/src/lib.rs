//! One way to reach a function: what is deployed (from the registry), which replica takes the call, and the HTTP client that carries it.
//!
//! The gateway and the queue-worker both call functions through here, so routing, balancing, time limits and counting are the same for both.
//! It does not know where a call came from, what becomes of its answer, or how a replica is made.

mod balance;
mod busy;
mod canary;
mod connect;
mod dispatch;
mod endpoint;
mod error;
mod follower;
mod function;
mod function_gauges;
mod functions;
mod herd;
mod mark;
mod metrics;
mod registry;
mod report;
mod response;
mod send;
mod stall;
mod taker;
mod trace;
mod trial;
mod usage;
mod wake;

pub use canary::Unhurried;
pub use dispatch::{Dispatch, DispatchConfig};
pub use error::{Error, Result};
pub use function::Function;
pub use metrics::Figures;
pub use registry::Registry;
pub use skep_http::{Body, BodyError};
pub use stall::{Awaited, Stalled};
pub use taker::Taker;
pub use usage::WaitingCall;
