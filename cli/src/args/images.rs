//! Images that skep keeps itself, for a Swarm without a registry.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use skep_protocol::parse_size;

use super::values::duration;

#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    /// Keep images of functions, and let engines pull them at this address, with a password that the controller gives them. This needs a seal key; skep swarm up --images-port sets everything
    #[arg(long, env = "SKEP_IMAGES_LISTEN", value_name = "ADDRESS", requires = "images_address")]
    pub(crate) images_listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) at: ImagesAddressArgs,
    /// How many bytes of images are kept; beyond that, no further ones are accepted
    #[arg(long, env = "SKEP_IMAGES_BYTES", default_value = "8GiB", value_parser = parse_size)]
    pub(crate) images_bytes: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ImagesAddressArgs {
    /// Where the engine of each node pulls the images that skep keeps, such as 127.0.0.1:5757; the same for gateways and controller
    #[arg(long, env = "SKEP_IMAGES_ADDRESS", value_name = "HOST:PORT")]
    pub(crate) images_address: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ImagesKeepArgs {
    #[command(flatten)]
    pub(crate) at: ImagesAddressArgs,
    /// How long an image is kept that no function and no version of one needs; an upload that broke off is kept as long
    #[arg(long, env = "SKEP_IMAGES_KEEP", default_value = "1h", value_parser = duration)]
    pub(crate) images_keep: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct ImageRelayRole {
    /// The address at which the engine of this node pulls images
    #[arg(long, env = "SKEP_LISTEN", default_value = "127.0.0.1:5757")]
    pub(crate) listen: SocketAddr,
    /// Where gateways keep images, as HOST:PORT; the first address that answers is used
    #[arg(long, env = "SKEP_IMAGES_FROM", value_name = "HOST:PORT", default_value = "gateway:8083")]
    pub(crate) images_from: String,
}
