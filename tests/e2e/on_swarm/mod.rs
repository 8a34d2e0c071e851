//! On Swarms of the tests' own engines.

mod certifier;
mod cold_start;
mod engine_away;
mod engines;
mod functions;
mod monitoring;
mod neighbours;
mod node_loss;
mod one_command;
mod provider;
mod registry;
mod rolling;
mod stack;
