//! The arguments of the commands that work in a folder of functions.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand};

use crate::{
    args::FetchArgs,
    new::{NEW_EXAMPLES, NewArgs},
};

const DEV_EXAMPLES: &str = "Examples:
  skep dev
  skep dev -f shop/stack.yml --listen 127.0.0.1:9090
  skep dev -- --sandbox off --mqtt-listen 127.0.0.1:1883    settings of skep up follow --

It is skep up with a port and a data folder of its own, so it can run next to another skep. It needs no network.

Files that a .gitignore or .ignore names are not watched, and neither are hidden ones, node_modules, target and __pycache__.

Other commands find it from the same folder, as long as no skep up runs there.";

#[derive(Debug, Subcommand)]
pub(crate) enum FolderCommand {
    /// Write a new function from a template, and add it to the stack file
    #[command(after_help = NEW_EXAMPLES)]
    New(NewArgs),
    /// Run the functions of a stack file, restart each when its files change, and show calls, results and logs
    #[command(after_help = DEV_EXAMPLES)]
    Dev(Box<DevArgs>),
    /// Build the programs of the functions in a stack file that have the key build
    #[command(after_help = "Examples:
  skep build                                runs the command in each key build, in the function's folder
  skep build -f shop/stack.yml resize")]
    Build(BuildArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// The functions, sources and schedules, in OpenFaaS's stack.yml format
    #[arg(short, long, value_name = "FILE", default_value = "stack.yml")]
    pub(crate) file: PathBuf,
    /// The gateway listens here
    #[arg(long, env = "SKEP_DEV_LISTEN", default_value = "127.0.0.1:8090")]
    pub(crate) listen: SocketAddr,
    /// Where functions keep their files, secrets, and NATS its data
    #[arg(long, env = "SKEP_DEV_DATA_DIR", value_name = "FOLDER", default_value = ".skep/dev")]
    pub(crate) data_dir: PathBuf,
    /// The nats-server program to start, 2.12 or newer; by default the one on PATH, beside skep, or fetched before
    #[arg(long, env = "SKEP_NATS_SERVER")]
    pub(crate) nats_server: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) fetch: FetchArgs,
    /// Run functions as root when skep itself is root: each of them can then do anything on this machine
    #[arg(long, env = "SKEP_ALLOW_ROOT", num_args = 0..=1, default_missing_value = "true", default_value = "false")]
    pub(crate) allow_root: bool,
    /// Further settings of skep up
    #[arg(last = true, value_name = "SETTING")]
    pub(crate) up: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// Only these functions, NAME or NAME.NAMESPACE; all without one
    pub(crate) names: Vec<String>,
    /// The stack file
    #[arg(short, long, value_name = "FILE", default_value = "stack.yml")]
    pub(crate) file: PathBuf,
}
