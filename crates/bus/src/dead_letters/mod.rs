//! Dead letters: storing them with their reason, listing and redriving them.

pub(crate) mod list;
pub(crate) mod redrive;
pub(crate) mod store;
