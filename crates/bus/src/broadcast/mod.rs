//! Messages between processes that nobody stores: heartbeats, who holds a call, functions in use, statistics, how calls of versions on trial have ended, log lines.

pub(crate) mod activity;
pub(crate) mod logs;
pub(crate) mod stats;
pub(crate) mod trials;
pub(crate) mod workers;
