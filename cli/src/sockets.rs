//! Binding sockets, before anything else is started.

use std::net::SocketAddr;

use skep_gateway::Listeners;
use tokio::net::TcpListener;

use crate::{
    args::ListenArgs,
    failure::{Result, bad_setting},
};

/// Binds a listener; a failure names the setting.
pub(crate) async fn bind(flag: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| bad_setting(flag, format!("cannot listen on {address}: {error}")))
}

/// Where a listener really listens (port 0 asks for any).
pub(crate) fn local_address(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(crate::Failure::internal)
}

/// Binds the gateway's listeners, unless other machines could deploy functions without a password.
pub(crate) async fn listeners(args: &ListenArgs, has_credentials: bool) -> Result<Listeners> {
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
    let public = bind("--listen", args.listen).await?;
    let admin_api = match args.admin_api_listen {
        Some(address) => Some(bind("--admin-api-listen", address).await?),
        None => None,
    };
    Ok(Listeners { public, admin_api })
}
