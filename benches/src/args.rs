//! The settings.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

use clap::{Parser, Subcommand};

use crate::figures::Figure;

/// Measures skep against baselines in the same run, prints a table and writes bench.json.
#[derive(Debug, Parser)]
#[command(name = "skep-benches", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// The nats-server program, 2.12 or newer
    #[arg(long, default_value = "nats-server")]
    pub(crate) nats_server: PathBuf,
    /// Runs of each figure; the median of them is reported
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    pub(crate) runs: u8,
    /// Functions that are deployed for the figures density_…; fewer suffice for a quick look
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(50..=100_000))]
    pub(crate) functions: u32,
    /// Measure only this figure (may be given several times)
    #[arg(long, value_name = "NAME", value_parser = Figure::parse)]
    pub(crate) only: Vec<Figure>,
    /// The folder of the programs skep and fwatchdog; by default that of this program
    #[arg(long, value_name = "FOLDER")]
    pub(crate) programs: Option<PathBuf>,
    /// Where the figures are written as JSON; by default bench.json in the target folder
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Where programs are looked for
    #[arg(long, env = "PATH", hide = true, default_value = "/usr/bin:/bin")]
    pub(crate) path: OsString,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer every request with a few bytes
    #[command(hide = true)]
    Upstream {
        #[arg(long, env = "PORT")]
        port: u16,
        /// How long an answer takes
        #[arg(long, env = "DELAY_MS", default_value_t = 0)]
        delay_ms: u64,
    },
    /// Read a request from STDIN, and answer with the time at which it came
    #[command(hide = true)]
    Clock,
    /// Pass bytes on
    #[command(hide = true)]
    Relay(RelayArgs),
    /// Say which figures differ between two results by more than noise
    Compare { before: PathBuf, after: PathBuf },
    /// Become another program that ends when its parent does
    #[command(hide = true)]
    Guard(GuardArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct RelayArgs {
    pub(crate) listen: SocketAddr,
    /// Without it to a `cat` for each connection
    pub(crate) to: Option<SocketAddr>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct GuardArgs {
    pub(crate) parent: u32,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub(crate) program: Vec<OsString>,
}
