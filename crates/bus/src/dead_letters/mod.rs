//! Dead letters: storing them with their reason, listing, counting and redriving them.

pub(crate) mod count;
pub(crate) mod list;
pub(crate) mod redrive;
pub(crate) mod store;
