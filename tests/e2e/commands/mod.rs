//! The commands of every day, as someone at a terminal uses them.

mod bare;
mod canary;
mod deploy;
mod dev;
mod functions;
mod invoke;
mod login;
mod logs;
mod nats_program;
mod new;
mod pages;
mod prune;
mod secrets;
mod snapshots;
mod status;
mod terminal;
mod versions;
