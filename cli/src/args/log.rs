//! The settings of the log.

use clap::{Args, ValueEnum};

#[derive(Clone, Debug, Args)]
pub(crate) struct LogArgs {
    /// What to log, on STDERR: error, warn, info, debug, or per module (warn,skep_gateway=debug)
    #[arg(long, global = true, display_order = 900, env = "SKEP_LOG", default_value = "warn,skep=info")]
    pub(crate) log: String,
    /// What log lines look like: text, or json, one object a line
    #[arg(
        long,
        global = true,
        display_order = 901,
        env = "SKEP_LOG_FORMAT",
        default_value = "text",
        hide_possible_values = true
    )]
    pub(crate) log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}
