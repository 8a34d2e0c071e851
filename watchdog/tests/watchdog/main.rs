//! The real binary on a free port, spoken to with real HTTP.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test they are how it fails")]

mod cgi;
mod client;
mod docs;
mod environment;
mod fork;
mod hostile;
mod http;
mod leaks;
mod logs;
mod prefork;
mod settings;
mod shutdown;
mod static_files;
mod streaming;
mod support;
mod websocket;
