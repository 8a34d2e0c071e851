//! How long calls run, and how they wait for a first replica.

use std::time::Duration;

use clap::Args;

use super::values::{at_least_one, duration};

#[derive(Clone, Debug, Args)]
pub(crate) struct CallArgs {
    /// How long a call may run, unless its function sets a timeout (annotation skep.timeout, or exec_timeout)
    #[arg(long, env = "SKEP_UPSTREAM_TIMEOUT", default_value = "60s", value_parser = duration)]
    pub(crate) upstream_timeout: Duration,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct FromZeroArgs {
    /// Wake a function that is scaled to zero when it is called
    #[arg(long, env = "SKEP_SCALE_FROM_ZERO", num_args = 0..=1, default_missing_value = "true", default_value = "true", action = clap::ArgAction::Set)]
    pub(crate) scale_from_zero: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct WakeArgs {
    #[command(flatten)]
    pub(crate) from_zero: FromZeroArgs,
    /// How long a call waits for the first replica of its function
    #[arg(long, env = "SKEP_WAKE_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub(crate) wake_timeout: Duration,
    /// Calls that may wait for a first replica at once
    #[arg(long, env = "SKEP_HELD_CALLS", default_value_t = 1000, value_parser = at_least_one)]
    pub(crate) held_calls: usize,
}
