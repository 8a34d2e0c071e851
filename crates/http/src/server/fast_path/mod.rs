//! The fast path: one task reads simple requests and answers them, one after the other, without handing anything over.

mod answer;
mod lazy_sleep;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod request;
mod serve;
mod strict;

pub use self::serve::FastPath;
pub(crate) use self::strict::{AMBIGUOUS, has_ambiguous_coding};
