//! What is given up: stored with its reason, listed, and sent on its way again.

pub(crate) mod list;
pub(crate) mod redrive;
pub(crate) mod store;
