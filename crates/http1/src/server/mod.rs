//! The server's side, for plain requests only.

mod answer;
#[cfg(any(test, fuzzing))]
pub mod laws;
mod lazy_sleep;
mod plain;
mod request;
mod strict;

pub use self::{
    plain::Plain,
    strict::{AMBIGUOUS, has_ambiguous_coding},
};
