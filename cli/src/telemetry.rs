//! The log: structured lines on standard error.

use std::io::{IsTerminal, stderr};

use anyhow::{Context, anyhow};
use tracing_subscriber::{
    EnvFilter,
    filter::filter_fn,
    fmt,
    layer::{Layer, SubscriberExt},
    util::SubscriberInitExt,
};

use crate::{
    args::{LogArgs, LogFormat},
    dev::show::{CALLS, EndedCalls},
    log_json::Json,
};

/// Begins to log. The filter is `RUST_LOG`'s syntax (`info`, `skep_gateway=debug,info`), given by the reader of the settings.
///
/// With `shows_calls`, each call that has ended is a line on standard output.
pub(crate) fn init(LogArgs { log: filter, log_format }: &LogArgs, shows_calls: bool) -> anyhow::Result<()> {
    let parsed = EnvFilter::try_new(filter).with_context(|| format!("log filter {filter:?} is not valid"))?;
    let lines = fmt::layer().with_writer(stderr);
    let log = match log_format {
        LogFormat::Text => lines.with_ansi(stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.fmt_fields(Json).event_format(Json).boxed(),
    };
    let begun = if shows_calls {
        let calls = EndedCalls.with_filter(filter_fn(|metadata| metadata.target() == CALLS));
        tracing_subscriber::registry().with(log.with_filter(parsed)).with(calls).try_init()
    } else {
        // One filter for all, which costs calls nothing.
        tracing_subscriber::registry().with(log).with(parsed).try_init()
    };
    begun.map_err(|error| anyhow!("the log was started twice: {error}"))
}
