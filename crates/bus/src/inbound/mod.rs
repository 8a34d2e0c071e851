//! Messages of other services: published work, synchronous calls, and messages that cannot be read.

pub(crate) mod published;
pub(crate) mod requests;
pub(crate) mod unreadable;
