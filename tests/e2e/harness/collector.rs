//! A collector of OpenTelemetry: Rotel's agent, which prints the spans that it takes. It shares no code with skep's exporter.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Program, free_address, programs::variable, wait_for, wait_until};

pub(crate) struct Collector {
    program: Program,
    pub(crate) address: SocketAddr,
}

/// A span as the collector prints it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeenSpan {
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) trace: String,
    pub(crate) parent: String,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) status: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) events: Vec<String>,
    /// The trace and the span of each.
    pub(crate) links: Vec<(String, String)>,
}

/// The program, which `tests/collector.sh` installs and names.
fn program() -> PathBuf {
    let found = variable("SKEP_TEST_COLLECTOR").expect("SKEP_TEST_COLLECTOR names the collector, see tests/README.md");
    let program = PathBuf::from(found);
    // It comes without its right to run.
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

impl Collector {
    pub(crate) async fn start(folder: &Path) -> Self {
        let (address, grpc) = (free_address(), free_address());
        let mut command = Command::new(program());
        command.args(["start", "--exporter", "blackhole", "--debug-log", "traces"]);
        command.args(["--debug-log-verbosity", "detailed", "--otlp-http-endpoint", &address.to_string()]);
        command.args(["--otlp-grpc-endpoint", &grpc.to_string()]);
        let program = Program::start("collector", command, folder);
        wait_until("the collector listens", async || tokio::net::TcpStream::connect(address).await.is_ok()).await;
        Self { program, address }
    }

    /// All spans that came so far.
    pub(crate) fn spans(&self) -> Vec<SeenSpan> {
        read(&self.program.stdout())
    }

    /// Waits for a span, and returns it.
    pub(crate) async fn span(&self, what: &str, is_it: impl Fn(&SeenSpan) -> bool) -> SeenSpan {
        wait_for(what, async || self.spans().into_iter().find(|span| is_it(span))).await
    }
}

/// What comes after the heading of a list of attributes.
#[derive(Clone, Copy)]
enum List {
    Resource,
    Attributes,
    Event,
    Link,
    None,
}

fn read(printed: &str) -> Vec<SeenSpan> {
    let (mut spans, mut resource) = (Vec::<SeenSpan>::new(), BTreeMap::new());
    let mut list = List::None;
    for line in printed.lines() {
        let trimmed = line.trim();
        if let Some((name, value)) = trimmed.strip_prefix("-> ").and_then(|pair| pair.split_once(": ")) {
            match (list, spans.last_mut()) {
                (List::Resource, _) => drop(resource.insert(name.to_owned(), bare(value))),
                (List::Attributes, Some(span)) => drop(span.attributes.insert(name.to_owned(), bare(value))),
                (List::Event, Some(span)) if name == "Name" => span.events.push(value.to_owned()),
                (List::Link, Some(span)) if name == "Trace ID" => span.links.push((value.to_owned(), String::new())),
                (List::Link, Some(span)) if name == "ID" => span.links.last_mut().unwrap().1 = value.to_owned(),
                _ => {}
            }
            continue;
        }
        list = match trimmed.split([' ', ':']).next().unwrap_or_default() {
            "ResourceSpans" => {
                resource.clear();
                List::None
            }
            "Resource" if trimmed == "Resource attributes:" => List::Resource,
            "Attributes" => List::Attributes,
            "SpanEvent" => List::Event,
            "SpanLink" => List::Link,
            "Span" => {
                spans.push(SeenSpan { resource: resource.clone(), ..SeenSpan::default() });
                List::None
            }
            _ => list,
        };
        let (Some(span), Some((name, value))) = (spans.last_mut(), trimmed.split_once(':')) else { continue };
        let value = value.trim().to_owned();
        match name.trim() {
            "Trace ID" => span.trace = value,
            "Parent ID" => span.parent = value,
            "ID" => span.id = value,
            "Name" => span.name = value,
            "Kind" => span.kind = value.replace("SPAN_KIND_", ""),
            "Status code" => span.status = value.replace("STATUS_CODE_", ""),
            _ => {}
        }
    }
    spans
}

/// `Str(text)` is `text`.
fn bare(value: &str) -> String {
    let inner = value.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(value).to_owned()
}
