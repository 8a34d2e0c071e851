//! Messages between processes that nobody stores: heartbeats, who holds a call, functions in use, log lines.

pub(crate) mod activity;
pub(crate) mod logs;
pub(crate) mod workers;
