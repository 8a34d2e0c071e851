//! The settings of what runs functions.

use std::path::PathBuf;

use clap::Args;

#[derive(Clone, Debug, Args)]
pub(crate) struct ProviderArgs {
    /// The data folder: files of functions, secrets, and the data of NATS
    #[arg(long, env = "SKEP_DATA_DIR", default_value = ".skep")]
    pub(crate) data_dir: PathBuf,
    /// The fwatchdog program; by default the one beside skep, or skep itself
    #[arg(long, env = "SKEP_WATCHDOG")]
    pub(crate) watchdog: Option<PathBuf>,
    /// Run functions as root when skep itself is root: each of them can then do anything on this machine
    #[arg(long, env = "SKEP_ALLOW_ROOT", num_args = 0..=1, default_missing_value = "true", default_value = "false")]
    pub(crate) allow_root: bool,
    /// Keep functions in a sandbox: on or off; the annotation skep.sandbox=off lifts it for one function
    #[arg(long, env = "SKEP_SANDBOX", default_value = "on", action = clap::ArgAction::Set, value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) sandbox: bool,
    /// Functions with the annotation skep.trace.export send their own spans here [default: --otlp-endpoint]
    #[arg(long, env = "SKEP_FUNCTION_OTLP_ENDPOINT", value_name = "URL", hide_env_values = true)]
    pub(crate) function_otlp_endpoint: Option<String>,
}
