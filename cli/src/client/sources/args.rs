//! The arguments of `skep sources`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use super::event_args::{
    EventArgs, EventsArgs, ForwardArgs, HeldArgs, KeepArgs, ReleaseArgs, ReplayArgs, SamplesArgs, SendArgs, TryArgs,
};
use super::schedule_args::{BackfillArgs, FireArgs, NextArgs};
use crate::client::args::ClientArgs;

pub(crate) const SOURCES_EXAMPLES: &str = "Examples:
  skep sources add github --preset github --to deploy     GitHub's webhooks call the function deploy
  skep sources secret add github < secret.txt             the secret that GitHub signs with
  skep sources show github                                the URL for GitHub, and what is missing
  skep sources presets                                    the providers that skep knows

A source takes events at the gateway's URL /hooks/NAME, checks that they come from the provider,
and calls functions with them. skep up -f deploys those of the stack file's section sources.";

#[derive(Debug, Subcommand)]
pub(crate) enum SourcesCommand {
    /// List sources: where each takes events, whether it checks who sends them, its secrets, and what is wrong with it
    List(SourcesListArgs),
    /// Show a source: the URL for its provider, its secrets without their values, its routes, and its declaration
    Show(SourceArgs),
    /// Add a source
    #[command(after_help = "Examples:
  skep sources add github --preset github --to deploy
  skep sources add shop --file shop.yml
  jq .sources.shop stack.json | skep sources add shop --file -

The file has the keys of one source, as they are below its name in a stack file, in YAML or JSON:
  preset: github
  routes:
    - to: deploy
      filter: { type: push, body.ref: refs/heads/main }")]
    Add(SourceSpecArgs),
    /// Change the declaration of a source; its secrets stay
    Update(SourceSpecArgs),
    /// Remove sources and their secrets: their senders get 404 from then on
    Remove(SourceNamesArgs),
    /// Store events of sources without calling functions, until they are resumed
    Pause(SourceNamesArgs),
    /// Resume paused sources; events that came during the pause wait for a replay
    Resume(SourceNamesArgs),
    /// Show when a schedule runs next
    Next(NextArgs),
    /// Call the functions of a schedule now
    Fire(FireArgs),
    /// Make the calls of a schedule for times in the past
    Backfill(BackfillArgs),
    /// List the events that a source has accepted, and which routes took them
    Events(EventsArgs),
    /// Show an event: its headers, its calls with their states, and why other routes did not take it
    Event(EventArgs),
    /// Print what the program of a source wrote to STDERR, and why it was restarted
    Logs(SourceLogsArgs),
    /// List requests that could not be verified, and why: those that are held, and copies of those that were refused
    #[command(after_help = "Examples:
  skep sources held github
  skep sources held github --why         what is probably wrong: the secret, the clock, a proxy …
  skep sources held github --json | jq -r '.[].reason' | sort | uniq -c")]
    Held(HeldArgs),
    /// Accept requests that could not be verified before
    Release(ReleaseArgs),
    /// Make calls again for stored events
    Replay(ReplayArgs),
    /// Show which routes would take a request, and why the others would not
    Try(TryArgs),
    /// Send a request that the gateway signs as the provider would, to see that everything works
    Send(SendArgs),
    /// Forward the events of a source to a program on this machine as they come
    Forward(ForwardArgs),
    /// Keep an event as a sample, to send it or try it again
    Keep(KeepArgs),
    /// List the samples of a source, or remove one
    Samples(SamplesArgs),
    /// Add, list and remove the secrets that a source checks its events with
    #[command(subcommand)]
    Secret(SecretCommand),
    /// List the providers that skep knows, or show how one signs its events
    Presets(PresetsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SourcesListArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// The source
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SourceLogsArgs {
    /// The source
    pub(crate) name: String,
    /// Show this many of the newest lines
    #[arg(long, default_value_t = 100)]
    pub(crate) tail: usize,
    /// Continue with new lines as they come
    #[arg(short, long)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SourceNamesArgs {
    /// The sources
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("declaration").args(["file", "preset"]).required(true))]
pub(crate) struct SourceSpecArgs {
    /// The source: lower-case letters, digits and inner hyphens; it is a part of its URL
    pub(crate) name: String,
    /// A file with its declaration, in YAML or JSON; - is STDIN
    #[arg(short, long)]
    pub(crate) file: Option<PathBuf>,
    /// The provider whose events it takes, one of skep sources presets
    #[arg(long, requires = "to")]
    pub(crate) preset: Option<String>,
    /// The function that each event calls; may be given several times
    #[arg(long, value_name = "FUNCTION", conflicts_with = "file")]
    pub(crate) to: Vec<String>,
    /// The URL that the provider knows, for providers that sign it
    #[arg(long, conflicts_with = "file")]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Add a secret from STDIN or a file; a source accepts events that fit any of its secrets
    #[command(after_help = "Examples:
  skep sources secret add github < secret.txt
  pass show github | skep sources secret add github --retire-others 24h
  skep sources secret add whatsapp --name verify_token --file token.txt

To change a secret: add the new one, set it at the provider, and remove the old one; or let the
old ones expire with --retire-others. A source has at most four. No command shows a value.")]
    Add(SecretAddArgs),
    /// List secrets: their numbers, names and times, never a value
    List(SourceArgs),
    /// Remove a secret by its number, or those of a name
    Remove(SecretRemoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SecretAddArgs {
    /// The source
    pub(crate) source: String,
    /// A file with the secret; without it STDIN is read
    #[arg(short, long)]
    pub(crate) file: Option<PathBuf>,
    /// The name by which the provider's check of the URL asks for it (verify_token, public_key); a secret without a name verifies events
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// When it expires: a time (2026-01-31T08:00:00Z), or how long from now (90d)
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    /// How long the source's other secrets of this kind stay valid (24h)
    #[arg(long, value_name = "DURATION")]
    pub(crate) retire_others: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SecretRemoveArgs {
    /// The source
    pub(crate) source: String,
    /// The secret's number, or the name of named ones
    #[arg(value_name = "NUMBER|NAME")]
    pub(crate) secret: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct PresetsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<PresetsCommand>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PresetsCommand {
    /// Show how a provider signs its events, in the form of a source's own keys
    Show(SourceArgs),
}
