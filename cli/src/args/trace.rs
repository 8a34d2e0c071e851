//! The settings of traces. Those that OpenTelemetry's specification names have its variables.

use std::time::Duration;

use clap::Args;
use skep_trace::Trust;
use url::Url;

use super::values::{at_least_one, duration};

#[derive(Clone, Debug, Args)]
pub(crate) struct TraceArgs {
    /// Callers whose trace (traceparent) is continued: all, none, or addresses, networks, loopback and private, separated by commas. Calls of others begin a trace of their own. Publishers on NATS are trusted unless it is none
    #[arg(long, env = "SKEP_TRACE_TRUST", default_value = "loopback")]
    pub(crate) trace_trust: Trust,
    /// The OpenTelemetry collector that spans are sent to, such as http://127.0.0.1:4318; skep appends /v1/traces. Without an endpoint there are no spans
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", hide_env_values = true)]
    pub(crate) otlp_endpoint: Option<String>,
    /// The same as a whole address, such as http://127.0.0.1:4318/v1/traces
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value_name = "URL", hide_env_values = true)]
    pub(crate) otlp_traces_endpoint: Option<String>,
    /// How spans are sent; only http/protobuf is supported
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL")]
    pub(crate) otlp_protocol: Option<String>,
    /// The same for spans alone
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", hide = true)]
    pub(crate) otlp_traces_protocol: Option<String>,
    /// How many milliseconds one request to the collector may take
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TIMEOUT", default_value_t = 10_000, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub(crate) otlp_timeout: u64,
    /// Which traces are sampled: always_on, always_off, traceidratio, or with parentbased_ before it, so that a trusted caller's decision counts [default: parentbased_traceidratio]
    #[arg(long, env = "OTEL_TRACES_SAMPLER", value_name = "SAMPLER")]
    pub(crate) trace_sampler: Option<String>,
    /// The ratio of traceidratio, from 0 to 1 [default: 0.01]
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", value_name = "RATIO")]
    pub(crate) trace_sampler_arg: Option<String>,
    /// Spans of traces that are not sampled are still sent if they failed, or took at least this long
    #[arg(long, env = "SKEP_TRACE_SLOW", default_value = "10s", value_parser = duration)]
    pub(crate) trace_slow: Duration,
    /// Spans that may wait to be sent; further ones are dropped and counted
    #[arg(long, env = "OTEL_BSP_MAX_QUEUE_SIZE", default_value = "8192", value_parser = at_least_one)]
    pub(crate) trace_queue: usize,
    /// The service.name of the spans; by default skep and the role
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME")]
    pub(crate) trace_service_name: Option<String>,
    /// Where spans go: otlp, or none
    #[arg(long, env = "OTEL_TRACES_EXPORTER", hide = true)]
    pub(crate) trace_exporter: Option<String>,
    /// Send nothing, whatever else is said
    #[arg(long, env = "OTEL_SDK_DISABLED", hide = true, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = clap::ArgAction::Set, value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) trace_disabled: bool,
}

/// How `skep calls show` and the web UI show a trace.
#[derive(Clone, Debug, Args)]
pub(crate) struct TraceLinkArgs {
    /// Where traces can be seen.
    #[arg(
        long,
        env = "SKEP_TRACE_URL",
        value_name = "TEMPLATE",
        value_parser = template,
        help = "Where traces can be seen; {traceId} stands for the id, as in https://jaeger.example.com/trace/{traceId}"
    )]
    pub(crate) trace_url: Option<String>,
}

/// The place of the id in a template.
const PLACE: &str = "{traceId}";

impl TraceLinkArgs {
    /// A trace as it is shown: its id, or its address.
    pub(crate) fn shown(&self, trace_id: &str) -> String {
        self.trace_url.as_ref().map_or_else(|| trace_id.to_owned(), |template| template.replace(PLACE, trace_id))
    }
}

fn template(text: &str) -> Result<String, String> {
    let is_address = text.replace(PLACE, "0").parse::<Url>().is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if is_address && text.contains(PLACE) {
        Ok(text.to_owned())
    } else {
        Err("must be an address with {traceId} in it, such as https://jaeger.example.com/trace/{traceId}".to_owned())
    }
}
