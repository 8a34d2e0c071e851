//! On Swarms of the tests' own engines.

mod engines;
mod one_command;
mod provider;
mod stack;
