//! MQTT of the NATS server that `skep up` starts: where it listens, and the one user of all devices.

use std::net::SocketAddr;

use skep_bus::{Permissions, device_permissions};
use skep_protocol::Subjects;
use tokio::net::TcpListener;
use tracing::warn;

use super::users::User;
use crate::{
    failure::{Failure, Result, bad_setting},
    nats_users,
};

/// Finds the address free, and says where that is.
pub(crate) async fn reserve(listen: SocketAddr) -> Result<SocketAddr> {
    let free = TcpListener::bind(listen).await;
    let free = free.map_err(|error| bad_setting("--mqtt-listen", format!("cannot listen on {listen}: {error}")))?;
    let address = free.local_addr().map_err(Failure::internal)?;
    if !address.ip().is_loopback() {
        warn!(
            %address,
            "MQTT is not encrypted here: everybody who can listen to this network can read the messages and the password of devices"
        );
    }
    Ok(address)
}

/// Its part of the server's settings. A server that takes MQTT has to have a name.
pub(crate) fn settings(address: SocketAddr) -> String {
    let (host, port) = (address.ip(), address.port());
    format!("\nserver_name: skep\nmqtt {{ host: \"{host}\", port: {port} }}\n")
}

/// The user of devices: over MQTT alone, for all topics but those of skep and of the server.
pub(crate) fn user(user: &User, subjects: &Subjects) -> String {
    let Permissions { publish, subscribe, not_publish, not_subscribe } = device_permissions(subjects);
    let (publish, subscribe) = (nats_users::rule(&publish, &not_publish), nats_users::rule(&subscribe, &not_subscribe));
    format!(
        "  {{ user: {}, password: {:?}, allowed_connection_types: [\"MQTT\"], permissions: {{\n    \
         publish: {{ {publish} }}\n    subscribe: {{ {subscribe} }}\n  }} }}\n",
        user.name, user.password
    )
}
