//! What controller and gateways must know alike of the sources of events.

use std::path::PathBuf;

use clap::Args;
use url::Url;

use super::values::public_url;

#[derive(Clone, Debug, Args)]
pub(crate) struct SealArgs {
    /// The key that secrets of event sources are sealed with, the same for controller, gateways and queue-workers: 32 random bytes in base64. By default skep up makes seal.key in its data folder; the other roles cannot use secrets of sources without a key
    #[arg(long, env = "SKEP_SEAL_KEY_FILE", value_name = "FILE")]
    pub(crate) seal_key_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SourcesArgs {
    #[command(flatten)]
    pub(crate) seal: SealArgs,
    /// The URL at which the internet reaches the gateway, the same for controller and gateways. A source without a url of its own is at this URL followed by /hooks/NAME; providers that sign the URL need it
    #[arg(long, env = "SKEP_PUBLIC_URL", value_name = "URL", value_parser = public_url)]
    pub(crate) public_url: Option<Url>,
}
