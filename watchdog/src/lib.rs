//! The watchdog: turns any program into a function that is called over HTTP.
//!
//! It follows the contract of OpenFaaS's classic watchdog (`mode=fork`: a process per request) and of its of-watchdog (`mode=http`: one program that speaks HTTP; `mode=static`: files).
//! Its entry point is [`program`]. It knows nothing of the bus, the gateway, or where it runs. Only `program.rs` binds sockets and reads the environment.

mod answer;
mod body;
mod child;
mod config;
mod deadline;
mod ends;
mod files;
mod fork;
mod health;
mod http;
mod limit;
mod lines;
mod log;
mod metrics;
mod plan;
mod processes;
mod program;
mod redact;
mod server;
mod service;
mod supervise;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use fork::{cgi::laws as cgi_head, laws};

pub use program::program;
