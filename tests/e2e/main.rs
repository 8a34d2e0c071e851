//! The whole platform, tested from outside: through HTTP, NATS, signals, and the processes and files that are there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on panics")]

mod accept;
mod bus;
mod callbacks;
mod calls;
mod cancel;
mod dead;
mod delayed;
mod delays;
mod echo;
mod faults;
mod garbage;
mod github;
mod harness;
mod headers;
mod lanes;
mod limits;
mod logs;
mod long_calls;
mod namespaces;
mod nats;
mod on_swarm;
mod outbox;
mod outcomes;
mod password;
mod refused;
mod retries;
mod routing;
mod scaling;
mod secrets;
mod settings;
mod storm;
mod streaming;
mod sync;
mod system;
mod up;
