//! How the controller scales functions.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use skep_controller::Config;

use super::calls::FromZeroArgs;

#[derive(Debug, Args)]
pub(crate) struct ScalingArgs {
    /// Whether functions are scaled by their use; with off they are scaled only by hand, by alerts, from zero and to zero
    #[arg(long, env = "SKEP_AUTOSCALE", default_value = "on")]
    pub(crate) autoscale: Autoscale,
    /// Append all decisions about replicas to this file, one JSON object a line
    #[arg(long, env = "SKEP_RECORD_SCALING")]
    pub(crate) record_scaling: Option<PathBuf>,
}

/// The same for the controller alone.
#[derive(Debug, Args)]
pub(crate) struct ScalingRoleArgs {
    #[command(flatten)]
    from_zero: FromZeroArgs,
    #[command(flatten)]
    scaling: ScalingArgs,
}

impl ScalingRoleArgs {
    pub(crate) fn apply(&self, config: Config) -> Config {
        self.scaling.apply(self.from_zero, config)
    }
}

impl ScalingArgs {
    /// The settings of a controller that scales like this.
    pub(crate) fn apply(&self, from_zero: FromZeroArgs, config: Config) -> Config {
        Config {
            autoscale: self.autoscale == Autoscale::On,
            scale_from_zero: from_zero.scale_from_zero,
            record_scaling: self.record_scaling.clone(),
            ..config
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Autoscale {
    On,
    Off,
}
