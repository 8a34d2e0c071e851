//! Whether spans are sent, and where: read from the settings when a role starts.

use std::{fmt::Display, time::Duration};

use prometheus::Registry;
use skep_otlp::{Config, Exporter};
use skep_trace::{Sampler, Tracer};
use tokio::{runtime::Handle, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::info;
use url::Url;

use crate::{
    args::{BusArgs, ProviderArgs, TraceArgs},
    controller::environment,
    failure::{Failure, Result},
};

/// How often it is looked for spans that have lasted for long.
const STARTED_INTERVAL: Duration = Duration::from_secs(1);
/// How long the last spans may take when the program ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);
const PROTOCOL: &str = "http/protobuf";

const COMPRESSION: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"];

/// A flag, and the variable that OpenTelemetry's specification gives it.
type Setting = (&'static str, &'static str);

const ENDPOINT: Setting = ("--otlp-endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT");
const TRACES_ENDPOINT: Setting = ("--otlp-traces-endpoint", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
const OTLP_PROTOCOL: Setting = ("--otlp-protocol", "OTEL_EXPORTER_OTLP_PROTOCOL");
const FUNCTION_ENDPOINT: Setting = ("--function-otlp-endpoint", "SKEP_FUNCTION_OTLP_ENDPOINT");
const SAMPLER: Setting = ("--trace-sampler", "OTEL_TRACES_SAMPLER");
const EXPORTER: Setting = ("--trace-exporter", "OTEL_TRACES_EXPORTER");

fn bad_setting((flag, variable): Setting, reason: impl Display) -> Failure {
    Failure::setting(format!("{flag} ({variable}): {reason}"))
}

/// What a process does about traces.
pub(crate) struct Traces {
    pub(crate) tracer: Tracer,
    exporter: Option<Exporter>,
}

impl Traces {
    /// Passes contexts on, and no more.
    pub(crate) fn off(args: &TraceArgs) -> Self {
        Self { tracer: Tracer::off(args.trace_trust.clone()), exporter: None }
    }

    /// Starts what the settings ask for; `role` is what the service is called.
    pub(crate) fn start(args: &TraceArgs, role: &str, bus: &BusArgs, metrics: &Registry) -> Result<Self> {
        let Some((setting, endpoint)) = endpoint(args)? else { return Ok(Self::off(args)) };
        check_protocol(args)?;
        let sampler = Sampler::named(args.trace_sampler.as_deref(), args.trace_sampler_arg.as_deref());
        let sampler = sampler.map_err(|error| bad_setting(SAMPLER, error))?;
        let config = Config {
            endpoint,
            queue: args.trace_queue,
            timeout: Duration::from_millis(args.otlp_timeout),
            resource: resource(role, bus),
            service_name: args.trace_service_name.clone().filter(|name| !name.is_empty()),
            is_compressed: is_compressed(),
        };
        let exporter = Exporter::start(config, metrics, Handle::current());
        let exporter = exporter.map_err(|error| bad_setting(setting, error))?;
        info!(?sampler, slow = ?args.trace_slow, "spans are sent to a collector");
        let sink = Box::new(exporter.clone());
        let tracer = Tracer::new(args.trace_trust.clone(), sampler, args.trace_slow, sink);
        Ok(Self { tracer, exporter: Some(exporter) })
    }

    /// Shows spans that last for long before they end, until the process ends.
    pub(crate) fn show_started(&self, ending: CancellationToken) -> impl Future<Output = ()> + use<> {
        let tracer = self.tracer.clone();
        async move {
            while tracer.is_on() && ending.run_until_cancelled(sleep(STARTED_INTERVAL)).await.is_some() {
                tracer.show_started();
            }
        }
    }

    /// Sends the last spans.
    pub(crate) async fn end(&self) {
        if let Some(exporter) = &self.exporter {
            exporter.end(FLUSH_TIMEOUT).await;
        }
    }
}

/// Where functions that ask for it send spans of their own.
pub(crate) fn functions_endpoint(args: &TraceArgs, provider: &ProviderArgs) -> Result<Option<String>> {
    if let Some(endpoint) = given(&provider.function_otlp_endpoint) {
        check_endpoint(FUNCTION_ENDPOINT, &endpoint)?;
        return Ok(Some(endpoint));
    }
    // Where skep's own spans go, unless that is a whole address.
    let own = endpoint(args)?.filter(|(setting, _)| *setting == ENDPOINT);
    Ok(own.and_then(|_| given(&args.otlp_endpoint)))
}

fn given(text: &Option<String>) -> Option<String> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The whole address that spans go to, if there is one, and the setting that says so.
fn endpoint(args: &TraceArgs) -> Result<Option<(Setting, String)>> {
    match given(&args.trace_exporter).as_deref() {
        None | Some("otlp") => {}
        Some("none") => return Ok(None),
        Some(other) => {
            return Err(bad_setting(EXPORTER, format!("{other:?} is not there; use otlp or none")));
        }
    }
    if args.trace_disabled {
        return Ok(None);
    }
    let (setting, text, path) = match (given(&args.otlp_traces_endpoint), given(&args.otlp_endpoint)) {
        (Some(whole), _) => (TRACES_ENDPOINT, whole, ""),
        (None, Some(base)) => (ENDPOINT, base, "/v1/traces"),
        (None, None) => return Ok(None),
    };
    check_endpoint(setting, &text)?;
    Ok(Some((setting, format!("{}{path}", text.trim_end_matches('/')))))
}

fn check_endpoint(setting: Setting, text: &str) -> Result<()> {
    // It may hold a password, so it is not repeated. One that does is refused, because HTTP clients log addresses.
    let invalid = || bad_setting(setting, "must be an address such as http://127.0.0.1:4318");
    let url: Url = text.parse().map_err(|_| invalid())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(invalid());
    }
    if !url.username().is_empty() || url.password().is_some() {
        let reason = "must have no user and no password; OTEL_EXPORTER_OTLP_HEADERS takes an authorization header";
        return Err(bad_setting(setting, reason));
    }
    Ok(())
}

/// Whether the exporter compresses what it sends, as the specification's variables say. It reads them itself.
fn is_compressed() -> bool {
    let given = environment();
    COMPRESSION.iter().any(|name| given.get(*name).is_some_and(|value| !value.is_empty()))
}

fn check_protocol(args: &TraceArgs) -> Result<()> {
    let protocol = args.otlp_traces_protocol.as_ref().or(args.otlp_protocol.as_ref());
    match protocol.map(|protocol| protocol.trim()) {
        None | Some("" | PROTOCOL) => Ok(()),
        Some(other) => {
            let reason = format!("{other:?} is not there; use {PROTOCOL}, which collectors take on port 4318");
            Err(bad_setting(OTLP_PROTOCOL, reason))
        }
    }
}

/// The resource of OpenTelemetry that a process is.
fn resource(role: &str, bus: &BusArgs) -> Vec<(&'static str, String)> {
    let mut resource = vec![
        ("service.name", role.to_owned()),
        ("service.namespace", bus.subject_prefix.prefix().to_owned()),
        ("service.version", skep_protocol::VERSION.to_owned()),
        ("service.instance.id", uuid::Uuid::new_v4().to_string()),
        ("process.pid", std::process::id().to_string()),
    ];
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    resource.push(("host.name", host));
    resource.extend(container().map(|id| ("container.id", id)));
    resource
}

/// The id of the container that this process runs in, if its engine says so in `/proc`.
fn container() -> Option<String> {
    let [groups, mounts] = ["/proc/self/cgroup", "/proc/self/mountinfo"].map(std::fs::read_to_string);
    container_in(&groups.unwrap_or_default(), &mounts.unwrap_or_default())
}

/// With version 1 of control groups the group has the id; with version 2, files that the engine mounts come from a directory of the container.
fn container_in(groups: &str, mounts: &str) -> Option<String> {
    const LENGTH: usize = 64;
    let is_id = |part: &&str| part.len() == LENGTH && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let last = |line: &str| {
        let name = line.rsplit('/').next()?;
        Some(name.strip_suffix(".scope").unwrap_or(name).rsplit('-').next()?.to_owned())
    };
    let of_group = groups.lines().filter_map(last).find(|name| is_id(&name.as_str()));
    of_group.or_else(|| {
        let sources =
            mounts.lines().filter(|line| line.contains("/etc/hostname ")).flat_map(|line| line.split([' ', '/']));
        sources.filter(is_id).map(str::to_owned).next()
    })
}

#[cfg(test)]
mod tests {
    use super::container_in;

    #[test]
    fn a_container_is_known_by_its_group_or_by_its_mounts() {
        let id = "3f4e".repeat(16);
        let mounts = format!(
            "900 899 0:60 / /proc rw - proc proc rw\n\
             912 880 254:1 /var/lib/docker/containers/{id}/hostname /etc/hostname rw,relatime - ext4 /dev/vda rw\n"
        );
        for (groups, mounts, expected) in [
            (format!("12:pids:/docker/{id}\n0::/system.slice\n"), "", true),
            (format!("0::/system.slice/docker-{id}.scope\n"), "", true),
            ("0::/\n".to_owned(), mounts.as_str(), true),
            (
                "0::/user.slice/user-0.slice/session-1.scope\n".to_owned(),
                "25 1 254:1 / / rw - ext4 /dev/vda rw\n",
                false,
            ),
            (String::new(), "", false),
        ] {
            assert_eq!(container_in(&groups, mounts), expected.then(|| id.clone()), "{groups} {mounts}");
        }
    }
}
