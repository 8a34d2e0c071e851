//! The arguments of the commands that ask a gateway.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use reqwest::Url;

use crate::args::TraceLinkArgs;

/// Which gateway is asked, and who asks.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Gateway")]
pub(crate) struct ClientArgs {
    /// The gateway to ask; by default OPENFAAS_URL, else the gateway of the current context (see skep login), else http://127.0.0.1:8080
    #[arg(short, long, env = "SKEP_GATEWAY", value_name = "URL", value_parser = gateway)]
    pub(crate) gateway: Option<Url>,
    /// The context to use, see skep context list
    #[arg(long, env = "SKEP_CONTEXT", value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The user, if the gateway asks for a password [default: admin]
    #[arg(short, long, env = "SKEP_USER")]
    pub(crate) user: Option<String>,
    /// A file with the password
    #[arg(long, env = "SKEP_PASSWORD_FILE", conflicts_with = "password_stdin")]
    pub(crate) password_file: Option<PathBuf>,
    /// Read the password from STDIN
    #[arg(short = 's', long)]
    pub(crate) password_stdin: bool,
    /// The gateway's folder with basic-auth-user and basic-auth-password; used if no password is given
    #[arg(long, env = "SKEP_SECRET_MOUNT_PATH")]
    pub(crate) secret_mount_path: Option<PathBuf>,
    /// The data folder of skep up on this machine; its password is used if no other is given and the gateway is on this machine
    #[arg(long, env = "SKEP_DATA_DIR", default_value = ".skep")]
    pub(crate) data_dir: PathBuf,
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CallsCommand {
    /// List calls: first those that wait or run, the oldest first, then those that have ended, the latest first
    #[command(after_help = "Examples:
  skep calls list --since 1h --state failed,dead       what went wrong within the last hour
  skep calls list --function resize --state queued     what waits for a function
  skep calls list --until 2026-01-31T08:00:00Z --json")]
    List(CallListArgs),
    /// Show what happened to a call, step by step
    Show(CallTraceArgs),
    /// Print the function's answer to a call, byte by byte
    ///
    /// The exit code is 0 if the call succeeded, 3 if there is no such call, and 1 otherwise (not ended yet, failed, dead or
    /// cancelled). If there is an answer, it is printed in any case.
    Result(CallShowArgs),
    /// Cancel calls that have not ended; running ones are stopped
    Cancel(CallIdsArgs),
    /// Show the steps of a call as they come, until it ends; without an id, those of all calls from now on
    Events(CallEventsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CallListArgs {
    /// Only those of this function
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<String>,
    /// Only those in these states, separated by commas: scheduled, queued, running, retrying, succeeded, failed, dead, cancelled
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// Only those accepted since this time: a time (2026-01-31T08:00:00Z), or how long ago (15m)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only those accepted before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Only those that have ended and took at least this long
    #[arg(long, value_name = "DURATION")]
    pub(crate) min_duration: Option<String>,
    /// The most calls to list
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CallEventsArgs {
    /// The call's id
    pub(crate) id: Option<String>,
    /// Only those of this function
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    pub(crate) function: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CallShowArgs {
    /// The call's id
    pub(crate) id: String,
    /// How long to wait for the end of the call (30s); at most five minutes
    #[arg(long, value_name = "DURATION")]
    pub(crate) wait: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CallTraceArgs {
    #[command(flatten)]
    pub(crate) call: CallShowArgs,
    #[command(flatten)]
    pub(crate) link: TraceLinkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CallIdsArgs {
    /// The calls' ids
    #[arg(required = true)]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// List dead letters, the oldest first
    List(DeadListArgs),
    /// Show one dead letter with its request, or its undelivered result
    Show(DeadShowArgs),
    /// Redrive dead letters as they are
    #[command(after_help = "Examples:
  skep dead redrive order-7                            one, by its call id
  skep dead redrive --function resize --rate 20        those of a function, twenty a second
  skep dead redrive --reason 'answered 503' --limit 10
  skep dead redrive --all")]
    Redrive(DeadRedriveArgs),
    /// Change a call's request and redrive it
    #[command(after_help = "Examples:
  skep dead edit order-7 --text '{\"size\": 2}'
  skep dead edit order-7 --body-file fixed.png --header 'Content-Type: image/png'
  skep dead edit order-7 --path /v2 --remove-header X-Debug")]
    Edit(DeadEditArgs),
    /// Remove dead letters
    Remove(DeadRemoveArgs),
}

/// Which dead letters are meant.
#[derive(Debug, Args)]
pub(crate) struct DeadFilterArgs {
    /// Only those of this function
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<String>,
    /// Only those whose reason holds this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Only those of calls, or of callbacks
    #[arg(long, value_parser = ["call", "callback"])]
    pub(crate) kind: Option<String>,
    /// The most dead letters, from 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct DeadListArgs {
    #[command(flatten)]
    pub(crate) filter: DeadFilterArgs,
    /// Continue after this place, the last one of the previous list
    #[arg(long, value_name = "SEQUENCE")]
    pub(crate) after: Option<u64>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeadShowArgs {
    /// The call's id
    pub(crate) id: String,
    /// The dead letter of its callback, not of the call itself
    #[arg(long)]
    pub(crate) callback: bool,
    /// Show the values of headers that hold credentials
    #[arg(long)]
    pub(crate) reveal: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// Letters by their ids, or by what they have in common.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["ids", "function", "reason", "kind", "all"]).multiple(true).required(true))]
pub(crate) struct DeadChoiceArgs {
    /// The calls' ids
    #[arg(conflicts_with_all = ["function", "reason", "kind", "all"])]
    pub(crate) ids: Vec<String>,
    /// The dead letters of the callbacks of these calls, not of the calls themselves
    #[arg(long, requires = "ids")]
    pub(crate) callback: bool,
    /// All dead letters, up to --limit
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) filter: DeadFilterArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeadRedriveArgs {
    #[command(flatten)]
    pub(crate) which: DeadChoiceArgs,
    /// Dead letters per second; one command takes at most a minute
    #[arg(long, value_name = "N", conflicts_with = "ids")]
    pub(crate) rate: Option<f64>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").args(["text", "body_file", "path", "query", "header", "remove_header"]).multiple(true).required(true))]
pub(crate) struct DeadEditArgs {
    /// The call's id
    pub(crate) id: String,
    /// The new body
    #[arg(long, conflicts_with = "body_file")]
    pub(crate) text: Option<String>,
    /// A file with the new body
    #[arg(long, value_name = "FILE")]
    pub(crate) body_file: Option<PathBuf>,
    /// The new path behind the function's name
    #[arg(long)]
    pub(crate) path: Option<String>,
    /// The new query; an empty one removes it
    #[arg(long)]
    pub(crate) query: Option<String>,
    /// A header to set, as 'Name: value'
    #[arg(long, value_name = "HEADER", value_parser = header)]
    pub(crate) header: Vec<(String, String)>,
    /// A header to remove
    #[arg(long, value_name = "NAME")]
    pub(crate) remove_header: Vec<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeadRemoveArgs {
    #[command(flatten)]
    pub(crate) which: DeadChoiceArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DescribeArgs {
    /// The function, NAME or NAME.NAMESPACE
    pub(crate) function: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(crate) const AUDIT_LOG_EXAMPLES: &str = "Examples:
  skep audit-log --since 24h                     what changed today
  skep audit-log --object resize                 who touched a function
  skep audit-log --actor ci --action deploy --json
  skep audit-log --action login,read --follow    failed logins and refused reads, as they come

The latest change comes first. An entry has its time, actor, role and address, the action and its
object, and the result: an HTTP status, and the code of X-Skep-Error if it was refused.
This needs the password, or a token with the role admin. To count calls, see skep audit.";

#[derive(Debug, Args)]
pub(crate) struct AuditLogArgs {
    /// Only entries since this time: a time (2026-01-31T08:00:00Z), or how long ago (15m, 7d)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only entries before this time
    #[arg(long, value_name = "TIME", conflicts_with = "follow")]
    pub(crate) until: Option<String>,
    /// Only what this user or token did: ci, 'token ci', 'stack file', 'tokens file', anonymous
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// Only these actions, separated by commas: deploy, update, delete, rollback, promote, scale, alert, secret-create,
    /// secret-update, secret-delete, source-create, source-update, source-delete, source-pause, source-resume, source-fire,
    /// source-backfill, source-release, source-replay, source-try, source-send, source-secret-add, source-secret-remove,
    /// namespace-create, namespace-update, namespace-delete, image-push, cancel, redrive, dead-delete, dead-purge,
    /// token-create, token-update, token-revoke, login (one that failed), invoke and read (refused ones), other
    #[arg(long)]
    pub(crate) action: Option<String>,
    /// Only what was done to this function, secret, namespace or call
    #[arg(long, value_name = "NAME")]
    pub(crate) object: Option<String>,
    /// The most entries
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) limit: u32,
    /// Print entries the oldest first, then new ones as they come; with --json one a line
    #[arg(short, long)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(super) fn gateway(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}; write http://HOST:PORT"))?;
    if matches!(url.scheme(), "http" | "https") && url.host().is_some() {
        return Ok(url);
    }
    Err("write http://HOST:PORT".to_owned())
}

pub(super) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write 'Name: value'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
