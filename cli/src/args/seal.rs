//! The seal key.

use std::path::PathBuf;

use clap::Args;

#[derive(Clone, Debug, Args)]
pub(crate) struct SealArgs {
    /// The key that secrets of event sources are sealed with, the same for controller and gateways: 32 random bytes in base64. By default skep up makes seal.key in its data folder; without a key the other roles know no secrets of sources
    #[arg(long, env = "SKEP_SEAL_KEY_FILE", value_name = "FILE")]
    pub(crate) seal_key_file: Option<PathBuf>,
}
