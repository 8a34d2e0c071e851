//! HTTP for all programs of skep: a client, a server, and the runtimes that connections are served on.
//!
//! - `client`: one HTTP/1.1 connection to another server (RFC 9112).
//!   The task that sends a request also reads its answer: no other task is woken, nothing is handed over, and what is there goes out in one write.
//!   A request gets a task of its own only if it is still being sent when its answer begins.
//!   There is no pool and no time limit: dropping a future, or an answer, closes the connection.
//! - `server`: listens, accepts connections, answers simple requests on a fast path and all others through hyper, and drains.
//! - `runtimes`: one single-threaded runtime per core.
//!
//! This crate does not know what is served, who is called, or why. It reads no environment; its callers say where it listens.

#[cfg(feature = "admin")]
mod admin;
mod body;
mod client;
mod error;
mod headers;
mod message;
mod reader;
mod readiness;
mod runtimes;
mod server;
#[cfg(feature = "serve")]
mod tls;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use server::properties;

#[cfg(feature = "admin")]
pub use admin::{admin_router, metrics_page};
pub use body::Body;
pub use client::{Connection, Incoming, Outgoing, get};
pub use error::{BodyError, Error, NotAnswered, Result};
pub use reader::Upgraded;
pub use readiness::{Readiness, RoleReadiness};
pub use runtimes::Runtimes;
pub use server::{Connections, Event, FastPath, HttpLimits, Peer, Server, listen, network_of};
#[cfg(feature = "serve")]
pub use {
    server::{Drain, ServeConfig, serve},
    tls::Tls,
};
