//! The arguments of the commands about a source's events.

use std::path::PathBuf;

use clap::{Args, builder::PossibleValuesParser};

use crate::client::args::{ClientArgs, header};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skep sources events github --since 1h
  skep sources events github --type push --outcome ignored     pushes that no route wanted
  skep sources events github --limit 1000 --json

The newest event comes first. VERIFIED says how the sender was verified, and with which secret.")]
pub(crate) struct EventsArgs {
    /// The source
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) filter: EventFilterArgs,
    /// The most events to list
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Only those before this place, which the previous list has named
    #[arg(long, value_name = "SEQ")]
    pub(crate) before: Option<u64>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// Which events are meant.
#[derive(Clone, Debug, Args)]
pub(crate) struct EventFilterArgs {
    /// Only those that came since this time: a time (2026-01-31T08:00:00Z), or how long ago (15m)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only those that came before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Only those of this type, as push
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// Only those that made calls (routed), that no route took (ignored), that came while the source was paused (paused), or whose latest call has failed (failed)
    #[arg(long, value_parser = PossibleValuesParser::new(["routed", "ignored", "paused", "failed"]))]
    pub(crate) outcome: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skep sources event github fe859c1e-70c7-14ff-b355-8436e9b294d0
  skep sources event github fe859c1e-70c7-14ff-b355-8436e9b294d0 --body | jq .ref

The exit code is 3 if there is no such event.")]
pub(crate) struct EventArgs {
    /// The source
    pub(crate) name: String,
    /// The event's id
    pub(crate) id: String,
    /// Print its body, byte by byte, and nothing else
    #[arg(long, conflicts_with = "json")]
    pub(crate) body: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct HeldArgs {
    /// The source
    pub(crate) name: String,
    /// Say for the newest 50 what is probably wrong
    #[arg(long)]
    pub(crate) why: bool,
    /// The most requests to list
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skep sources release github held-7 held-8
  skep sources release github --all          all that are held and can be verified now
  skep sources release github refused-9 --force

They are verified again, with the current secrets and as of the time at which they came. --force lets
in even those that do not fit: look at them first. --all does not include copies of refused requests.
The exit code is 1 if one of them is not let in.")]
pub(crate) struct ReleaseArgs {
    /// The source
    pub(crate) name: String,
    /// Requests, as skep sources held lists them
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) ids: Vec<String>,
    /// Release all held requests
    #[arg(long)]
    pub(crate) all: bool,
    /// Also accept requests that cannot be verified
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skep sources replay github --id fe859c1e-70c7-14ff-b355-8436e9b294d0
  skep sources replay github --since 2h --type push --dry-run
  skep sources replay github --outcome paused
  skep sources replay github --outcome failed --since 1d --rate 5/s     only routes whose call failed
  skep sources replay github --since 1d --filter 'body.ref: refs/heads/main'

Events make calls again, by the current routes. With --outcome, calls that another replay has made are
left out: --outcome failed takes only routes whose latest call has failed. To continue a replay that
was interrupted, give its id with --replay: it makes no call twice.")]
#[command(group = clap::ArgGroup::new("which").args(["id", "since", "until", "kind", "outcome", "matching"]).multiple(true).required(true))]
pub(crate) struct ReplayArgs {
    /// The source
    pub(crate) name: String,
    /// This event; may be given several times
    #[arg(long, value_name = "ID", conflicts_with_all = ["since", "until", "kind", "outcome"])]
    pub(crate) id: Vec<String>,
    #[command(flatten)]
    pub(crate) filter: EventFilterArgs,
    /// Only those that pass a filter as routes have it, in YAML
    #[arg(long = "filter", value_name = "FILTER")]
    pub(crate) matching: Option<String>,
    /// Use only this route
    #[arg(long, value_name = "ROUTE")]
    pub(crate) route: Option<String>,
    /// Use the routes that the source had when the events came
    #[arg(long)]
    pub(crate) as_then: bool,
    /// The most events per second or minute (20/s, 100/m)
    #[arg(long, value_name = "RATE")]
    pub(crate) rate: Option<String>,
    /// The replay's own id: up to 64 letters, digits, hyphens and underscores
    #[arg(long, value_name = "ID")]
    pub(crate) replay: Option<String>,
    /// Only show which calls would be made
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// A request as a sender would make it.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").args(["file", "sample"]).multiple(true).required(true))]
pub(crate) struct RequestArgs {
    /// The source
    pub(crate) name: String,
    /// A file with the body; - is STDIN
    #[arg(short, long)]
    pub(crate) file: Option<PathBuf>,
    /// A sample of the source, as skep sources samples lists them; other options replace parts of it
    #[arg(long, value_name = "LABEL")]
    pub(crate) sample: Option<String>,
    /// A header, as 'X-GitHub-Event: push'; may be given several times
    #[arg(short = 'H', long, value_name = "'NAME: VALUE'", value_parser = header)]
    pub(crate) header: Vec<(String, String)>,
    /// What follows the source's name in the URL
    #[arg(long, default_value = "")]
    pub(crate) path: String,
    /// The query, without the question mark
    #[arg(long)]
    pub(crate) query: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skep sources try github --file push.json --header 'X-GitHub-Event: push'

Nothing is verified, stored or called. Each route that would not take the event says why.")]
pub(crate) struct TryArgs {
    #[command(flatten)]
    pub(crate) request: RequestArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skep sources send github --file push.json --header 'X-GitHub-Event: push'
  skep sources send github --file push.json --unsigned     is it refused?
  skep sources send github --sample first-push             an event that was kept

The gateway signs the body as the provider would, with the source's newest secret, and handles it
as if it had come to /hooks/NAME: it becomes an event, and its functions run. If the provider sends
an id in a header, one is made up unless it is given. If only the provider can sign, the answer says so.
The exit code is 0 if the request was accepted, and 1 if it was refused.")]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(crate) request: RequestArgs,
    /// Send the request without signing it
    #[arg(long)]
    pub(crate) unsigned: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skep sources keep github fe859c1e-70c7-14ff-b355-8436e9b294d0 --as first-push
  skep sources send github --sample first-push

A sample stays until it is removed, even when its event is no longer kept.")]
pub(crate) struct KeepArgs {
    /// The source
    pub(crate) name: String,
    /// The event's id
    pub(crate) id: String,
    /// The sample's label: letters, digits, hyphens and underscores. It replaces a sample that has this label
    #[arg(long = "as", value_name = "LABEL")]
    pub(crate) label: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SamplesArgs {
    /// The source
    pub(crate) name: String,
    /// Remove the sample of this label
    #[arg(long, value_name = "LABEL")]
    pub(crate) remove: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skep sources forward github http://localhost:3000
  skep sources forward github http://localhost:3000 --last 10 --type push

Your program gets the events of a source as a function would, and the functions still get them.
Your machine does not need to be reachable, because the command asks the gateway. An event that the
program refuses is not delivered again.")]
pub(crate) struct ForwardArgs {
    /// The source
    pub(crate) name: String,
    /// Where the events go; what follows the source's name in a request is appended
    pub(crate) url: url::Url,
    /// Begin with the newest events that are kept
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) last: Option<u32>,
    /// Only those of this type, as push
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// End after this many events
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
