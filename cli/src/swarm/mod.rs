//! `skep swarm`: the platform as a stack of a Docker Swarm, with one command.
//!
//! It runs `docker stack deploy` with the stack file that this program carries, so what it does can be done by hand as well.

mod adopt;
pub(crate) mod checks;
pub(crate) mod docker;
mod down;
pub(crate) mod engine;
mod files;
pub(crate) mod finding;
mod ha;
pub(crate) mod inside;
mod logins;
pub(crate) mod look;
mod mqtt;
mod nodes;
mod operator;
mod password;
mod roll;
mod rotate;
mod services;
pub(crate) mod settings;
mod stack;
mod stages;
mod up;
mod updates;
pub(crate) mod volumes;

use crate::{args::SwarmCommand, failure::Result};

pub(crate) async fn run(command: SwarmCommand) -> Result<()> {
    match command {
        SwarmCommand::Up(args) => Box::pin(up::run(args)).await,
        SwarmCommand::Backup(args) => operator::backup(args).await,
        SwarmCommand::Password(args) => Box::pin(password::run(args)).await,
        SwarmCommand::Adopt(args) => Box::pin(adopt::run(args)).await,
        SwarmCommand::Down(args) => Box::pin(down::run(args)).await,
    }
}
