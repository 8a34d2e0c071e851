//! On Swarms of the tests' own engines.

mod burst;
mod canary;
mod certifier;
mod cold_start;
mod engine_away;
mod engines;
mod functions;
mod grafana;
mod high_availability;
mod images;
mod monitoring;
mod mqtt;
mod neighbours;
mod node_hook;
mod node_loss;
mod one_command;
mod provider;
mod registry;
mod rolling;
mod rotation;
mod stack;
mod upgrade;
