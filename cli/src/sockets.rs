//! Binding sockets, before anything else is started.

use std::net::SocketAddr;

use skep_gateway::{ImagesConfig, Listeners};
use skep_sources::SealKey;
use tokio::net::TcpListener;

use crate::{
    args::{ImagesArgs, ListenArgs},
    failure::{Result, bad_setting},
};

/// Binds where engines pull images, if they do.
pub(crate) fn images(args: &ImagesArgs, key: Option<&SealKey>) -> Result<Option<(TcpListener, ImagesConfig)>> {
    let (Some(listen), Some(address)) = (args.images_listen, args.at.images_address.clone()) else { return Ok(None) };
    let login = images_login(key, "--images-listen")?;
    let config = ImagesConfig { address, limit: args.images_bytes, login };
    Ok(Some((bind("--images-listen", listen)?, config)))
}

/// What engines show when they pull; gateways and controller make it from the key that they share.
pub(crate) fn images_login(key: Option<&SealKey>, flag: &str) -> Result<String> {
    let key = key.ok_or_else(|| bad_setting(flag, "needs a key: --seal-key-file (SKEP_SEAL_KEY_FILE)"))?;
    Ok(format!("skep:{}", key.password("pulling images")))
}

/// Binds a listener; a failure names the setting.
pub(crate) fn bind(flag: &str, address: SocketAddr) -> Result<TcpListener> {
    skep_http::listen(address).map_err(|error| bad_setting(flag, format!("cannot listen on {address}: {error}")))
}

/// Where a listener really listens (port 0 asks for any).
pub(crate) fn local_address(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(crate::Failure::internal)
}

/// Binds the gateway's listeners, unless other machines could deploy functions without a password.
pub(crate) fn listeners(args: &ListenArgs, has_credentials: bool) -> Result<Listeners> {
    let (flag, admin_api) = match args.admin_api_listen {
        Some(address) => ("--admin-api-listen", address),
        None => ("--listen", args.listen),
    };
    if !admin_api.ip().to_canonical().is_loopback() && !has_credentials && !args.insecure_open_admin {
        return Err(bad_setting(
            flag,
            format!(
                "other machines reach {admin_api}, and without a password each of them can run programs here: \
                 ask for one with --basic-auth (SKEP_BASIC_AUTH), move the admin API with --admin-api-listen \
                 127.0.0.1:8081 (SKEP_ADMIN_API_LISTEN), or accept it with --insecure-open-admin (SKEP_INSECURE_OPEN_ADMIN)"
            ),
        ));
    }
    let public = bind("--listen", args.listen)?;
    let admin_api = match args.admin_api_listen {
        Some(address) => Some(bind("--admin-api-listen", address)?),
        None => None,
    };
    Ok(Listeners { public, admin_api, images: None })
}
