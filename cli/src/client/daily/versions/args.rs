//! The arguments of the commands about versions.

use clap::{Args, Subcommand};

use crate::client::{args::ClientArgs, daily::args::ReadyArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum VersionsCommand {
    /// List the versions of a function: who deployed what, and when
    #[command(after_help = "Examples:
  skep versions resize
  skep versions resize --json")]
    Versions(VersionsArgs),
    /// Show which settings of two versions of a function differ
    #[command(after_help = "Examples:
  skep diff resize 3                        version 3 and the current one
  skep diff resize 3 5 --json

Values of environment variables are not shown.")]
    Diff(DiffArgs),
    /// Restore the settings of a former version, as a new version, and wait until it is ready
    #[command(after_help = ROLLBACK_EXAMPLES)]
    Rollback(RollbackArgs),
    /// Give all calls of a function to its canary, and wait until that is ready
    #[command(after_help = "Examples:
  skep promote resize

skep rollback ends a canary instead, and skep describe shows how a canary is doing.")]
    Promote(PromoteArgs),
}

const ROLLBACK_EXAMPLES: &str = "Examples:
  skep rollback resize                      the previous version
  skep rollback resize 3 --note 'version 4 loses colours'

The previous version is the last one that has other settings than the current one and did not fail. Queued
calls stay, and run with the restored settings. If the function has a canary, skep rollback NAME ends the
canary, and the current version continues.";

#[derive(Debug, Args)]
pub(crate) struct VersionsArgs {
    /// The function, NAME or NAME.NAMESPACE
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The function, NAME or NAME.NAMESPACE
    pub(crate) name: String,
    /// The version to compare
    pub(crate) from: u64,
    /// The version to compare it with; the current one by default
    pub(crate) to: Option<u64>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The function, NAME or NAME.NAMESPACE
    pub(crate) name: String,
    /// The version to go back to; the previous one by default
    #[arg(value_name = "VERSION")]
    pub(crate) number: Option<u64>,
    /// A note for skep versions: one line of at most 500 bytes
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    #[command(flatten)]
    pub(crate) ready: ReadyArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PromoteArgs {
    /// The function, NAME or NAME.NAMESPACE
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) ready: ReadyArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
