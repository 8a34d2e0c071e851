//! The controller: turns deployments into replicas, and is the only writer of the registry.
//!
//! - `controller.rs` starts it and runs it for as long as it leads; `leadership.rs` holds the lease.
//! - `control.rs` answers the requests on the bus.
//! - `reconcile/` has one task per function, which keeps its replicas and its record as they are wanted.
//! - `scaling/` decides how many replicas a function has: by its use each second, on wake, by alerts, and to zero.
//! - `sources/` checks and writes the sources of events, and seals their secrets.
//! - `schedules/` plans the next occurrences of schedules, and `subscriptions.rs` knows which functions name topics.
//! - `sources/programs` runs the programs of sources, and `disk.rs` reports streams that are nearly full.
//! - `housekeeping.rs` removes what is finished or left behind, and `audit.rs` counts all calls.
//! - `namespaces.rs` knows the namespaces, and keeps one while something is put into it.
//!
//! It does not know how a replica runs; that is the provider's part.

mod audit;
mod control;
mod controller;
mod disk;
mod housekeeping;
mod images;
mod leadership;
mod namespaces;
mod reconcile;
mod refusal;
mod scaling;
mod schedules;
mod sources;
mod storage_metrics;
mod subscriptions;
mod trials;

pub use audit::{AuditMetrics, PeriodicAudit};
pub use controller::{Config, Controller, ControllerMetrics};
pub use schedules::ScheduleMetrics;
pub use skep_provider::{Error, Result};
