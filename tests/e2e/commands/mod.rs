//! The commands of every day, as someone at a terminal uses them.

mod bare;
mod deploy;
mod functions;
mod invoke;
mod login;
mod logs;
mod nats_program;
mod pages;
mod secrets;
mod terminal;
