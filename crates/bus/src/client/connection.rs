//! One connection to NATS: how it is made, and what the log says of it.

use std::{future, time::Duration};

use async_nats::{
    Client, Event, ServerError,
    jetstream::{self, context::ContextBuilder},
};
use skep_backoff::Backoff;
use tokio::time::{Instant, sleep};
use tracing::{debug, error, info, warn};

use crate::{
    BusConfig, Error, OLDEST_SERVER, Result, Role,
    client::connect::{LastConnected, REQUEST_TIMEOUT},
    client::servers,
};

/// When the log says that the start waits for a server.
const LOG_DELAY: Duration = Duration::from_secs(3);

/// A server that hangs is noticed after two of these.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// Between two attempts to reach a server again.
const RECONNECT_DELAY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(1600));

/// How NATS begins to say what a user may not do; the subject follows.
const VIOLATION: &str = "Permissions Violation";

/// Publishes that may wait for their acknowledgement at once; beyond it the bus says that it is not available.
const MAX_UNACKNOWLEDGED: usize = 8192;

pub(crate) fn context(client: Client) -> jetstream::Context {
    ContextBuilder::new()
        .timeout(REQUEST_TIMEOUT)
        .ack_timeout(REQUEST_TIMEOUT)
        .max_ack_inflight(MAX_UNACKNOWLEDGED)
        .backpressure_on_inflight(false)
        .build(client)
}

/// Connects. Of a process's two connections to the same servers, one tells what becomes of it.
pub(crate) async fn connect_client(config: &BusConfig, connected: &LastConnected, tells: bool) -> Result<Client> {
    let (role, started) = (config.role, Instant::now());
    let mut is_told = false;
    loop {
        let connected = connected.clone();
        connected.is_now();
        let options = servers::options(&config.servers, config.login.as_ref()).map_err(Error::unavailable)?;
        let options = options
            .name(&config.name)
            .custom_inbox_prefix(role.inbox(&config.subjects))
            .request_timeout(Some(REQUEST_TIMEOUT))
            .connection_timeout(REQUEST_TIMEOUT)
            .ping_interval(PING_INTERVAL)
            .reconnect_delay_callback(|attempts| RECONNECT_DELAY.after(attempts as u64 + 1))
            .event_callback(move |event| {
                if matches!(event, Event::Connected) {
                    connected.is_now();
                }
                tell(&event, role, tells);
                future::ready(())
            });
        let error = match options.connect(config.servers.addresses()).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        if started.elapsed() >= config.patience {
            return Err(Error::Connect {
                url: config.servers.to_string(),
                waited: config.patience,
                source: error.into(),
            });
        }
        if started.elapsed() > LOG_DELAY && !std::mem::replace(&mut is_told, true) {
            warn!(%error, "NATS does not answer; waiting for it");
        }
        sleep(Duration::from_millis(100)).await;
    }
}

fn tell(event: &Event, role: Role, tells: bool) {
    match event {
        Event::Connected | Event::Disconnected if !tells => {}
        Event::Connected => info!("NATS connection is up"),
        Event::Draining | Event::Closed => debug!("NATS connection is closing"),
        Event::ServerError(ServerError::Other(violation)) if violation.starts_with(VIOLATION) => error!(
            violation,
            role = role.as_str(),
            "NATS does not permit what this role has to do: give the user in --nats-user-password-file the permissions \
             that `skep nats-users` prints"
        ),
        other => warn!(event = %other, "NATS connection changed"),
    }
}

pub(crate) fn require_version(client: &Client) -> Result<()> {
    if client.is_server_compatible(2, 12, 0) {
        return Ok(());
    }
    Err(Error::ServerTooOld { found: client.server_info().version, needed: OLDEST_SERVER })
}
