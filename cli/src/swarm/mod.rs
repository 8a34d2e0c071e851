//! `skep swarm`: the platform as a stack of a Docker Swarm, with one command.
//!
//! It runs `docker stack deploy` with the stack file that this program carries, so what it does can be done by hand as well.

pub(crate) mod checks;
mod docker;
mod down;
pub(crate) mod engine;
pub(crate) mod finding;
pub(crate) mod services;
mod stack;
mod up;

use crate::{args::SwarmCommand, failure::Result};

pub(crate) async fn run(command: SwarmCommand) -> Result<()> {
    match command {
        SwarmCommand::Up(args) => Box::pin(up::run(args)).await,
        SwarmCommand::Down(args) => Box::pin(down::run(args)).await,
    }
}
