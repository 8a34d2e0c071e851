//! On Swarms of the tests' own engines.

mod engines;
mod stack;
