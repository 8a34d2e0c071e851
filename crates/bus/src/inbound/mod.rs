//! What other services send: published work, requests for a synchronous answer, and messages that cannot be read.

pub(crate) mod published;
pub(crate) mod requests;
pub(crate) mod unreadable;
