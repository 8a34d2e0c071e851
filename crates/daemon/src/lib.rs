//! What every long-running role shares: serving HTTP with limits and a drain, the admin port, the log, and signals.
//!
//! It does not know what a role does, and it neither reads the environment nor binds a socket.

mod admin;
mod readiness;
mod secret_file;
mod serve;
mod service;
mod signals;
mod telemetry;
mod tls;

pub use admin::{admin_router, metrics_text};
pub use readiness::{Readiness, RoleReadiness};
pub use secret_file::{warn_if_others_can_read, write_secret_file};
pub use serve::{Drain, HttpLimits, ServeConfig, network_of, serve};
pub use service::{Peer, RequestBody, Service};
pub use signals::shutdown_signal;
pub use telemetry::init_telemetry;
pub use tls::Tls;

/// The release of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit of this build, when whoever built it said so in `SKEP_COMMIT`.
pub const COMMIT: &str = match option_env!("SKEP_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
