//! The arguments of `skep status`.

use std::time::Duration;

use clap::Args;

use crate::client::args::ClientArgs;

pub(crate) const STATUS_EXAMPLES: &str = "Examples:
  skep status
  skep status --once
  skep status --once --json | jq '.functions[] | select(.queueDepth > 100)'

Keys: up and down choose a function, Enter shows its calls, dead letters and log, Escape goes back, s sorts by another column, q quits.

Rates, errors and latencies cover the time since the previous update, and the calls that went through the gateway that answers. Under skep up, these are all calls.";

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Print a table and exit; the default if STDOUT is not a terminal, and with --json
    #[arg(long)]
    pub(crate) once: bool,
    /// The time between two updates
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = skep_protocol::parse_duration)]
    pub(crate) interval: Duration,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
