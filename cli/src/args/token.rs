//! The arguments of `skep token`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};

use super::values::duration;

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Create a token and print it; it is shown only now
    #[command(after_help = "Examples:
  skep token create ci --role deploy --namespace dev    deploys functions in one namespace
  skep token create shop --role invoke                  calls functions
  skep token create dashboard --role read --expires 720h")]
    Create(TokenCreateArgs),
    /// List tokens; the tokens themselves are not kept
    List(TokenListArgs),
    /// Revoke a token; gateways know within seconds
    Revoke(TokenRevokeArgs),
}

/// Where tokens are kept.
#[derive(Debug, Args)]
pub(crate) struct TokenFileArgs {
    /// The file of tokens; by default tokens.json beside the password of skep up
    #[arg(long, env = "SKEP_TOKENS_FILE")]
    pub(crate) tokens_file: Option<PathBuf>,
    /// The data folder of skep up
    #[arg(long, env = "SKEP_DATA_DIR", default_value = ".skep")]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct TokenCreateArgs {
    /// The holder's name, as logs show it
    pub(crate) name: String,
    /// What its holder may do
    #[arg(long)]
    pub(crate) role: TokenRole,
    /// Only in this namespace; may be given several times
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) namespace: Vec<String>,
    /// How long it is valid (24h); without end by default
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) expires: Option<Duration>,
    #[command(flatten)]
    pub(crate) file: TokenFileArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TokenRole {
    /// Look at everything; change nothing
    Read,
    /// Call functions, and ask for calls by their ids or cancel them
    Invoke,
    /// Deploy functions, manage secrets and dead letters, and everything that read and invoke may
    Deploy,
    /// Everything
    Admin,
}

#[derive(Debug, Args)]
pub(crate) struct TokenListArgs {
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) file: TokenFileArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TokenRevokeArgs {
    /// Its id, or its name
    #[arg(value_name = "ID|NAME")]
    pub(crate) token: String,
    #[command(flatten)]
    pub(crate) file: TokenFileArgs,
}
