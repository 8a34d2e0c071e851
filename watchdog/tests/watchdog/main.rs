//! The real binary on a free port, spoken to with real HTTP.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test they are how it fails")]

mod client;
mod environment;
mod fork;
mod hostile;
mod http;
mod logs;
mod settings;
mod shutdown;
mod support;
