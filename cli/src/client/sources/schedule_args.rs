//! The arguments of `skep sources` for schedules.

use clap::{Args, builder::PossibleValuesParser};

use crate::client::args::ClientArgs;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skep sources next nightly
  skep sources next nightly -n 3 --json | jq -r '.next[]'

For a paused schedule, it shows when it would run.")]
pub(crate) struct NextArgs {
    /// The schedule
    pub(crate) name: String,
    /// How many times
    #[arg(short, long = "number", value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) number: u32,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skep sources fire nightly
  skep sources fire nightly --overlap allow     even if it already runs

The schedule's functions are called at once, also of a paused schedule. Without --overlap the
schedule's own rule holds: if it says skip and a call runs, this one is cancelled.")]
pub(crate) struct FireArgs {
    /// The schedule
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) overlap: OverlapArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skep sources backfill nightly --from 2026-11-01T00:00:00Z --to 2026-11-08T00:00:00Z
  skep sources backfill nightly --from 2d                       from two days ago until now
  skep sources backfill nightly --from 2d --id after-outage     repeated, it makes no call twice

It makes the calls of all times of the schedule between the two, at most 1000, the oldest first. They
run one after the other; with --overlap allow they run at once.")]
pub(crate) struct BackfillArgs {
    /// The schedule
    pub(crate) name: String,
    /// The first time: 2026-11-01T00:00:00Z, or how long ago (2d)
    #[arg(long, value_name = "TIME")]
    pub(crate) from: String,
    /// The last time; now if it is not given
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// The backfill's own id: up to 24 letters, digits, hyphens and underscores
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) overlap: OverlapArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct OverlapArgs {
    /// What happens to a call while an earlier one runs
    #[arg(long, value_name = "RULE", value_parser = PossibleValuesParser::new(["skip", "queue", "replace", "allow"]))]
    pub(crate) overlap: Option<String>,
}
