//! The connection to NATS.

use std::{future, sync::Arc, time::Duration};

use async_nats::{
    Client,
    jetstream::{self, context::ContextBuilder},
};
use skep_backoff::Backoff;
use skep_protocol::{CallId, DefaultNamespace, Subjects};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use crate::{
    Bus, Connection, Error, Kept, Login, Monitors, Result, ServerUrls, audit::ledger::Ledger,
    bodies::deletions::Discards, calls::lookup::Lookup, client::connection::LastConnected,
    client::durability::LastFound, client::servers, publish::Publisher, publish::batch::Batcher, publish::rates::Rates,
    publish::stalled::Stalled, streams, streams::supervisor::Missed,
};

/// The oldest NATS server that has what skep uses (atomic batches, message schedules, one message per subject).
pub const OLDEST_SERVER: &str = "2.12.0";
/// How long an answer of the bus is awaited.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// When the log says that the start waits for a server.
const LOG_DELAY: Duration = Duration::from_secs(3);

/// A server that hangs is noticed after two of these.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// Between two attempts to reach a server again.
const RECONNECT_DELAY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(1600));

/// Publishes that may wait for their acknowledgement at once; beyond it the bus says that it is not available.
const MAX_UNACKNOWLEDGED: usize = 8192;

#[derive(Clone, Debug)]
pub struct BusConfig {
    pub servers: ServerUrls,
    pub login: Option<Login>,
    pub subjects: Subjects,
    pub default_namespace: DefaultNamespace,
    /// What the server's operators see in their connection list.
    pub name: String,
    /// How long to try at the start.
    pub patience: Duration,
    /// What the streams keep.
    pub kept: Kept,
    /// Where the servers can be asked what they do.
    pub monitors: Monitors,
}

impl Bus {
    /// Connects, checks the server's version, makes or checks the streams, and looks at what the server does with them.
    pub async fn connect(config: &BusConfig) -> Result<Self> {
        let connected = LastConnected::default();
        let client = connect_client(config, &connected, true).await?;
        require_version(&client)?;
        let jetstream = context(client.clone());
        let deliveries = context(connect_client(config, &connected, false).await?);
        let streams = Arc::new(Box::pin(ensure_streams(config, &jetstream)).await?);
        info!(server = client.server_info().version, "connected to NATS");
        let missed = Missed::default();
        let publisher = Publisher { client: client.clone(), jetstream: jetstream.clone(), missed: missed.clone() };
        let subjects = Arc::new(config.subjects.clone());
        let lookup = |stream, subject: fn(&Subjects, &CallId) -> String| {
            let names = Arc::clone(&subjects);
            Lookup::start(client.clone(), subjects.stream(stream), move |id| subject(&names, id))
        };
        let connection = Connection {
            calls: Batcher::start(publisher.clone()),
            backlogged: Batcher::start(publisher.clone()),
            finished: Batcher::start(publisher.clone()),
            incoming_events: Batcher::start(publisher.clone()),
            recorded: lookup("CALLS", Subjects::record_by_id),
            parked: lookup("DELAYED", Subjects::delayed_by_id),
            in_backlog: lookup("BACKLOG", Subjects::backlog_by_id),
            rates: Rates::default(),
            ledger: Ledger::start(publisher.clone(), Arc::clone(&subjects)),
            discards: Discards::start(Arc::clone(&streams), Arc::clone(&subjects)),
            publisher,
            client,
            jetstream,
            deliveries,
            connected,
            outside: Outside { config: config.clone(), connected: LastConnected::default() },
            subjects,
            default_namespace: config.default_namespace.clone(),
            streams,
            kept: config.kept.clone(),
            monitors: config.monitors.clone(),
            found: LastFound::default(),
            missed,
            stalled: Stalled::default(),
        };
        connection.check_clock().await?;
        connection.check_durability().await?;
        Ok(Self::over(Arc::new(connection)))
    }

    /// Ends both connections in order; no handle on this bus is of use afterwards.
    pub async fn close(&self) {
        self.connection.flush().await;
        for client in self.connection.clients() {
            // It is only refused by a connection that has ended already.
            let _ = client.drain().await;
        }
    }
}

/// Makes connections for subjects that other services may publish to, one for each reader.
///
/// The NATS client closes a connection when it receives headers that are not UTF-8, and its task panics at a value with a bare CR.
/// So messages from outside get a connection of their own, which can be lost and replaced without harm to the rest.
pub(crate) struct Outside {
    config: BusConfig,
    /// When one of them was made, or made again, last.
    pub(crate) connected: LastConnected,
}

impl Outside {
    /// A new connection; it ends when its last handle is dropped.
    pub(crate) async fn connect(&self) -> Result<jetstream::Context> {
        let once = BusConfig { patience: Duration::ZERO, ..self.config.clone() };
        connect_client(&once, &self.connected, false).await.map(context)
    }
}

/// Makes or checks the streams; a cluster may have no leader yet.
async fn ensure_streams(config: &BusConfig, jetstream: &jetstream::Context) -> Result<streams::Streams> {
    let began = Instant::now();
    loop {
        match Box::pin(streams::ensure(jetstream, &config.subjects, &config.kept)).await {
            Err(Error::Unavailable(error)) if began.elapsed() < config.patience => {
                debug!(%error, "the streams cannot be created yet");
                sleep(Duration::from_millis(250)).await;
            }
            ended => return ended,
        }
    }
}

fn context(client: Client) -> jetstream::Context {
    ContextBuilder::new()
        .timeout(REQUEST_TIMEOUT)
        .ack_timeout(REQUEST_TIMEOUT)
        .max_ack_inflight(MAX_UNACKNOWLEDGED)
        .backpressure_on_inflight(false)
        .build(client)
}

/// Connects. Of a process's two connections to the same servers, one tells what becomes of it.
async fn connect_client(config: &BusConfig, connected: &LastConnected, tells: bool) -> Result<Client> {
    let started = Instant::now();
    let mut is_told = false;
    loop {
        let connected = connected.clone();
        connected.is_now();
        let options = servers::options(&config.servers, config.login.as_ref()).map_err(Error::unavailable)?;
        let options = options
            .name(&config.name)
            .request_timeout(Some(REQUEST_TIMEOUT))
            .connection_timeout(REQUEST_TIMEOUT)
            .ping_interval(PING_INTERVAL)
            .reconnect_delay_callback(|attempts| RECONNECT_DELAY.after(attempts as u64 + 1))
            .event_callback(move |event| {
                if matches!(event, async_nats::Event::Connected) {
                    connected.is_now();
                }
                tell(&event, tells);
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

fn tell(event: &async_nats::Event, tells: bool) {
    match event {
        async_nats::Event::Connected | async_nats::Event::Disconnected if !tells => {}
        async_nats::Event::Connected => info!("NATS connection is up"),
        async_nats::Event::Draining | async_nats::Event::Closed => debug!("NATS connection is closing"),
        other => warn!(event = %other, "NATS connection changed"),
    }
}

fn require_version(client: &Client) -> Result<()> {
    if client.is_server_compatible(2, 12, 0) {
        return Ok(());
    }
    Err(Error::ServerTooOld { found: client.server_info().version, needed: OLDEST_SERVER })
}
