//! The event bus: everything that skep keeps or says lives on NATS JetStream, and only this crate knows how.
//!
//! It offers what the programs need in their own words (submit, deliver, record, dead-letter, registry, control, logs) and hides streams, consumers and headers.
//! It does not know how a function is reached, what runs it, or what an HTTP caller sees.

mod activity;
mod answer;
mod audit;
mod backlog;
mod batch;
mod bodies;
mod callback_tries;
mod calls;
mod cancel;
mod clock;
mod connect;
mod control;
mod costs;
mod dead;
mod delayed;
mod delivery;
mod discards;
mod durability;
mod ended;
mod error;
mod fit;
mod housekeeping;
mod ingest;
mod keeper;
mod lanes;
mod lease;
mod ledger;
mod letters;
mod listing;
mod logs;
mod looking;
mod monitor;
mod namespaces;
mod news;
mod orphans;
mod pieces;
mod publish;
mod queue;
mod rates;
mod records;
mod redrive;
mod registry;
mod requests;
mod running;
mod servers;
mod stand_in;
mod standing;
mod streams;
mod submit;
mod system_account;
mod unreadable;
mod waiting;
mod wire;
mod workers;

/// The headers of a NATS message, as they came.
pub use async_nats::HeaderMap as NatsHeaders;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use wire::laws as headers_on_the_wire;

pub use answer::Announced;
pub use backlog::Backlog;
pub use bodies::NotKept;
pub use cancel::Cancelled;
pub use clock::{ahead as server_clock_ahead, now};
pub use connect::{Bus, BusConfig, OLDEST_SERVER};
pub use control::{ControlCall, ControlServer};
pub use dead::{DeadLetter, KEPT_OF_ANSWER};
pub use delivery::{Delivery, Place};
pub use error::{Error, Result};
pub use ingest::Published;
pub use lease::Lease;
pub use letters::{Letter, LetterFilter};
pub use listing::{CallFilter, Page, Position};
pub use monitor::Monitors;
pub use queue::Queue;
pub use redrive::{Edit, Redriven};
pub use registry::RegistryEvent;
pub use requests::{CallRequest, CallRequests};
pub use running::RunningCalls;
pub use servers::{Login, LoginError, ServerUrls, ServerUrlsError};
pub use standing::Standing;
pub use streams::{Budget, Kept};
pub use submit::Submitted;
pub use system_account::SystemAccount;
pub use unreadable::UnreadablePublish;
pub use waiting::{Queued, Waits};
