//! The log: structured lines on standard error.

use std::io::{IsTerminal, stderr};

use anyhow::{Context, anyhow};
use tracing_subscriber::{EnvFilter, fmt};

/// Begins to log. The filter is `RUST_LOG`'s syntax (`info`, `skep_gateway=debug,info`), given by the reader of the settings.
pub(crate) fn init(filter: &str) -> anyhow::Result<()> {
    let parsed = EnvFilter::try_new(filter).with_context(|| format!("log filter {filter:?} is not valid"))?;
    fmt()
        .with_env_filter(parsed)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .try_init()
        .map_err(|error| anyhow!("the log was begun twice: {error}"))
}
