//! The arguments of the daily commands.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, Subcommand};
use reqwest::Method;
use skep_protocol::CanaryMode;

use super::versions::args::VersionsCommand;
use crate::client::{
    args::{ClientArgs, header},
    status::args::{STATUS_EXAMPLES, StatusArgs},
};

#[derive(Debug, Subcommand)]
pub(crate) enum DailyCommand {
    /// Deploy the functions and sources of a stack file, or one function, and wait until functions are ready
    #[command(after_help = DEPLOY_EXAMPLES)]
    Deploy(DeployArgs),
    /// List the functions that are deployed
    #[command(after_help = "Examples:
  skep list
  skep list --namespace dev --json")]
    List(ListArgs),
    /// Call a function and print its answer
    #[command(after_help = INVOKE_EXAMPLES)]
    Invoke(InvokeArgs),
    /// Show the logs of functions
    #[command(after_help = "Examples:
  skep logs resize                          all lines that are kept
  skep logs resize thumbnail -f             two functions, as lines come
  skep logs resize --since 15m --grep error")]
    Logs(LogsArgs),
    /// Show a live view of all functions: rates, latencies, queues, replicas and dead letters
    #[command(after_help = STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// Set how many replicas a function has
    #[command(after_help = "Examples:
  skep scale resize 3
  skep scale resize 0 --no-wait")]
    Scale(ScaleArgs),
    /// Remove functions; their queued calls become dead letters
    #[command(after_help = "Examples:
  skep remove resize
  skep remove -f stack.yml                  all functions of a file")]
    Remove(RemoveArgs),
    /// List, set and remove secrets
    #[command(subcommand)]
    Secret(SecretCommand),
    /// List, create and remove namespaces
    #[command(subcommand)]
    Namespace(NamespaceCommand),
    #[command(flatten)]
    Versions(VersionsCommand),
}

const DEPLOY_EXAMPLES: &str = "Examples:
  skep deploy                               the functions and sources of ./stack.yml
  skep deploy -f shop.yml --filter 'mail-*' --dry-run
  skep deploy --prune                       also removes what the file no longer names
  skep deploy upper --command 'tr a-z A-Z'
  skep deploy resize --image registry.lan/resize:2 --env QUALITY=80
  skep deploy resize --image registry.lan/resize:3 --canary 10%
  skep deploy resize --image resize:3       an image of this machine, without a registry
  skep deploy ./resize                      what the Dockerfile of the folder builds

The command first shows what changes, without the values of variables. Everything else stays as it is.
The exit code is 0 if all functions are deployed and ready, and 1 if one is refused, not ready in time, or
rolled back.";

const INVOKE_EXAMPLES: &str = "Examples:
  echo shout | skep invoke upper
  skep invoke resize --file photo.png --query width=200 > small.png
  skep invoke report --async --header 'X-Callback-Url: https://example.com/done' < order.json
  skep invoke report --wait 2m < order.json
  skep invoke api --method DELETE --path /items/7

The body is read from STDIN, unless that is a terminal. The exit code is 0 if the function answers below
400, 1 if it answers 400 or more or the call fails, 2 if a flag or the login is wrong, and 3 if there is
no such function.";

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// The namespace to list; the default one without it
    #[arg(short, long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InvokeArgs {
    /// The function, NAME or NAME.NAMESPACE
    pub(crate) name: String,
    /// The body, instead of STDIN
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// A header to send, as 'Name: value'
    #[arg(short = 'H', long, value_name = "HEADER", value_parser = header)]
    pub(crate) header: Vec<(String, String)>,
    /// A part of the query, as name=value
    #[arg(long, value_name = "QUERY")]
    pub(crate) query: Vec<String>,
    /// The verb
    #[arg(short = 'X', long, default_value = "POST", value_parser = method)]
    pub(crate) method: Method,
    /// The path behind the function's name, such as /items/7
    #[arg(long, default_value = "")]
    pub(crate) path: String,
    /// Queue the call and print its id
    #[arg(long = "async")]
    pub(crate) is_async: bool,
    /// Queue the call and wait this long for its result (30s); five minutes at most
    #[arg(long, value_name = "DURATION", value_parser = skep_protocol::parse_duration, conflicts_with = "is_async")]
    pub(crate) wait: Option<Duration>,
    /// Send the login even if you may not see whether the function asks for one; a function that does not would see the login
    #[arg(long)]
    pub(crate) with_login: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("one").args(["command", "image"]).multiple(true).requires("name"))]
pub(crate) struct DeployArgs {
    /// The function to deploy, NAME or NAME.NAMESPACE, instead of those of a stack file; or a folder, such as ./resize, which becomes the function's image: built by its Dockerfile or, with --command, as a layer on top of --image
    #[arg(conflicts_with_all = ["file", "filter"])]
    pub(crate) name: Option<String>,
    /// The functions and sources to deploy, in OpenFaaS's stack.yml format
    #[arg(short, long, value_name = "FILE", default_value = "stack.yml")]
    pub(crate) file: PathBuf,
    /// Only functions and sources of the file whose names match; * stands for any text
    #[arg(long, value_name = "PATTERN")]
    pub(crate) filter: Vec<String>,
    /// The command that the function runs
    #[arg(long)]
    pub(crate) command: Option<String>,
    /// The function's image, for a Swarm. An image of this machine's engine is uploaded if its name has no registry and skep keeps images
    #[arg(long)]
    pub(crate) image: Option<String>,
    /// Where the command runs; this folder if the gateway is on this machine
    #[arg(long, value_name = "FOLDER", requires = "command")]
    pub(crate) workdir: Option<PathBuf>,
    /// A variable of the function, as NAME=VALUE
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, requires = "name")]
    pub(crate) env: Vec<(String, String)>,
    /// A label, as NAME=VALUE
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, requires = "name")]
    pub(crate) label: Vec<(String, String)>,
    /// An annotation, as NAME=VALUE
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, requires = "name")]
    pub(crate) annotation: Vec<(String, String)>,
    /// A secret that the function may read
    #[arg(long, value_name = "NAME", requires = "name")]
    pub(crate) secret: Vec<String>,
    /// A note on the new version, for skep versions: one line of at most 500 bytes
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    /// Give a changed function only this share of the calls at first, from 1% to 99%, until it is promoted or rolled back, by
    /// its limits or by hand; off gives it all calls at once, whatever its annotation says
    #[arg(long, value_name = "SHARE")]
    pub(crate) canary: Option<CanaryMode>,
    /// Only show what would change
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// First build the programs of functions that have the key build
    #[arg(long, conflicts_with = "name")]
    pub(crate) build: bool,
    /// Remove functions and sources that this file has deployed and no longer names. The file must have the key name
    #[arg(long, conflicts_with_all = ["name", "filter"])]
    pub(crate) prune: bool,
    /// Do not ask before removing something
    #[arg(short, long, requires = "prune")]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) ready: ReadyArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// How long is waited for replicas.
#[derive(Debug, Args)]
pub(crate) struct ReadyArgs {
    /// How long to wait until all replicas are ready
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = skep_protocol::parse_duration)]
    pub(crate) timeout: Duration,
    /// Do not wait
    #[arg(long, conflicts_with = "timeout")]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The functions, NAME or NAME.NAMESPACE
    #[arg(required_unless_present = "call")]
    pub(crate) names: Vec<String>,
    /// Only lines of this call, if they name it; for a queued call, no function needs to be given
    #[arg(long, value_name = "ID")]
    pub(crate) call: Option<String>,
    /// Continue with new lines as they come
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only lines since this time: a time (2026-01-31T08:00:00Z), or how long ago (15m)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Show only this many lines of each function, the last ones (default: all that are kept)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) tail: Option<u32>,
    /// Only lines with this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) grep: Option<String>,
    /// Only lines of this replica
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,
    /// Only lines that functions wrote there; the watchdog's own lines are in neither
    #[arg(long, value_name = "STREAM", value_parser = ["stdout", "stderr"])]
    pub(crate) stream: Option<String>,
    /// Begin each line with its time
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ScaleArgs {
    /// The function, NAME or NAME.NAMESPACE
    pub(crate) name: String,
    /// The number of replicas
    pub(crate) replicas: u64,
    /// How long to hold this number, however much the function is used: at most 24h, by default 10m; 0s ends a hold
    #[arg(long, value_name = "DURATION")]
    pub(crate) hold: Option<String>,
    #[command(flatten)]
    pub(crate) ready: ReadyArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["names", "file"]).required(true))]
pub(crate) struct RemoveArgs {
    /// The functions, NAME or NAME.NAMESPACE
    pub(crate) names: Vec<String>,
    /// Remove the functions of this stack file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// List the names of secrets; no command shows a value
    List(ListArgs),
    /// Create a secret, or change its value, from STDIN or a file
    #[command(after_help = "Examples:
  skep secret set api-key < key.txt
  openssl rand -hex 32 | skep secret set signing-key
  skep secret set logo --file logo.png --exact

A line break at the end is not part of the value, unless --exact says so.")]
    Set(SecretSetArgs),
    /// Remove secrets that no function names
    Remove(NamesArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SecretSetArgs {
    /// The secret's name
    pub(crate) name: String,
    /// The value, instead of STDIN
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Keep a line break at the end
    #[arg(long)]
    pub(crate) exact: bool,
    /// The namespace of the secret; the default one without it
    #[arg(short, long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NamesArgs {
    /// The secrets' names
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    /// Their namespace; the default one without it
    #[arg(short, long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NamespaceCommand {
    /// List namespaces
    List(NamespaceListArgs),
    /// Create a namespace
    Create(NamespaceArgs),
    /// Remove a namespace that is empty
    Remove(NamespaceArgs),
}

#[derive(Debug, Args)]
pub(crate) struct NamespaceListArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NamespaceArgs {
    /// The namespace's name
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

fn method(text: &str) -> Result<Method, String> {
    text.to_ascii_uppercase().parse().map_err(|_| "write a verb such as GET".to_owned())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
