//! The server's side, for plain requests only.

mod answer;
mod lazy_sleep;
mod plain;
mod request;
mod strict;

pub use self::{
    plain::Plain,
    strict::{AMBIGUOUS, has_ambiguous_coding},
};
