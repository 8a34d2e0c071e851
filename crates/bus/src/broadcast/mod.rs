//! What processes tell each other and nobody stores: heartbeats, functions in use, log lines.

pub(crate) mod activity;
pub(crate) mod logs;
pub(crate) mod workers;
