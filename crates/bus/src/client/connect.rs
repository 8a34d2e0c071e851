//! The connection to NATS.

use std::{
    collections::HashSet,
    future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::{
    Client, ConnectOptions, Event, ServerError,
    jetstream::{self, context::ContextBuilder},
};
use skep_protocol::{CallId, DefaultNamespace, Subjects};
use tokio::time::{Instant, sleep};
use tracing::{debug, error, info, warn};

use crate::{
    Bus, Connection, Error, Kept, Login, Monitors, Result, Role, ServerUrls,
    audit::ledger::Ledger,
    bodies::deletions::Discards,
    calls::lookup::Lookup,
    client::connection::{ControllerSeen, LastConnected},
    client::durability::LastFound,
    client::reconnect::{self, Attempts},
    client::servers,
    publish::Publisher,
    publish::batch::Batcher,
    publish::rates::Rates,
    publish::stalled::Stalled,
    queue::backlog::SeenBacklogs,
    streams,
    streams::supervisor::Missed,
};

/// The oldest NATS server that has what skep uses (atomic batches, message schedules, one message per subject).
pub const OLDEST_SERVER: &str = "2.12.0";
/// How long an answer of the bus is awaited.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// When the log says that the start waits.
const LOG_DELAY: Duration = Duration::from_secs(3);

/// A server that hangs is noticed at the third of these.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// The same in a cluster, where another server can take its place.
const PING_INTERVAL_IN_CLUSTER: Duration = Duration::from_secs(2);
/// How long one of several servers may take to accept a connection; the next one is tried then.
const CONNECT_TIMEOUT_IN_CLUSTER: Duration = Duration::from_secs(2);
/// How long an acknowledgement of a cluster is awaited before the message is sent again: nobody answers while it elects a leader.
const ACK_TIMEOUT_IN_CLUSTER: Duration = Duration::from_secs(2);

/// Publishes that may wait for their acknowledgement at once; beyond it the bus says that it is not available.
const MAX_UNACKNOWLEDGED: usize = 8192;

/// How NATS begins to say what a user may not do; the subject follows.
const VIOLATION: &str = "Permissions Violation";
/// Each is logged once, and at most this many: strangers can cause them when they want an answer at a subject of skep.
const MAX_VIOLATIONS: usize = 64;

#[derive(Clone, Debug)]
pub struct BusConfig {
    pub servers: ServerUrls,
    pub login: Option<Login>,
    /// Whose connection it is; its user on the server needs no more than the role's [permissions](Role::permissions).
    pub role: Role,
    /// Whether changes of the connection are logged; of the buses of one process, only one logs them.
    pub logs: bool,
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
        let client = connect_client(config, &connected, (config.logs, false)).await?;
        require_version(&client)?;
        let jetstream = context(client.clone());
        let deliveries = context(connect_client(config, &connected, (false, false)).await?);
        let streams = Arc::new(Box::pin(ensure_streams(config, &jetstream)).await?);
        if config.logs {
            info!(server = client.server_info().version, "connected to NATS");
        }
        let publisher = publisher(config, &client, &jetstream);
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
            backlogs: SeenBacklogs::default(),
            in_lanes: lookup("INVOKE", Subjects::invoke_by_id),
            rates: Rates::default(),
            ledger: Ledger::start(publisher.clone(), Arc::clone(&subjects)),
            discards: Discards::start(client.clone(), config.role, Arc::clone(&streams), Arc::clone(&subjects)),
            missed: publisher.missed.clone(),
            publisher,
            client,
            jetstream,
            deliveries,
            connected,
            role: config.role,
            logs: config.logs,
            outside: Arc::new(Outside::new(config.clone())),
            subjects,
            default_namespace: config.default_namespace.clone(),
            streams,
            kept: config.kept.clone(),
            monitors: config.monitors.clone(),
            found: LastFound::default(),
            controller_seen: ControllerSeen::default(),
            stalled: Stalled::default(),
        };
        connection.look_at_server().await?;
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
    pub(crate) config: BusConfig,
    /// Whether it is another server or account than skep's own.
    pub(crate) is_foreign: bool,
    /// When one of them was made, or made again, last.
    pub(crate) connected: LastConnected,
}

impl Outside {
    pub(crate) fn new(config: BusConfig) -> Self {
        Self { config, is_foreign: false, connected: LastConnected::default() }
    }

    /// A new connection; it ends when its last handle is dropped.
    pub(crate) async fn connect(&self) -> Result<jetstream::Context> {
        connect_once(self, &self.connected).await
    }
}

/// Connects without patience.
pub(crate) async fn connect_once(outside: &Outside, connected: &LastConnected) -> Result<jetstream::Context> {
    let once = BusConfig { patience: Duration::ZERO, ..outside.config.clone() };
    connect_client(&once, connected, (false, outside.is_foreign)).await.map(context)
}

/// Makes or checks the streams; a cluster may have no leader yet.
async fn ensure_streams(config: &BusConfig, jetstream: &jetstream::Context) -> Result<streams::Streams> {
    let began = Instant::now();
    let mut is_logged = false;
    loop {
        match Box::pin(streams::ensure(jetstream, config.role, &config.subjects, &config.kept)).await {
            // Streams of an older version are changed by the controller.
            Err(error @ (Error::Unavailable(_) | Error::Differs { .. }))
                if began.elapsed() < config.patience && (error.may_pass() || !config.role.changes_streams()) =>
            {
                if began.elapsed() > LOG_DELAY && !std::mem::replace(&mut is_logged, true) {
                    warn!(error = error.chain(), "the streams cannot be used yet; waiting for them");
                }
                sleep(Duration::from_millis(250)).await;
            }
            ended => return ended,
        }
    }
}

fn publisher(config: &BusConfig, client: &Client, jetstream: &jetstream::Context) -> Publisher {
    Publisher {
        client: client.clone(),
        jetstream: jetstream.clone(),
        missed: Missed::default(),
        ack_timeout: if config.kept.replicas > 1 { ACK_TIMEOUT_IN_CLUSTER } else { REQUEST_TIMEOUT },
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

/// Connects. Of a process's connections to the same servers, only one logs its changes.
async fn connect_client(
    config: &BusConfig,
    connected: &LastConnected,
    (logs, is_foreign): (bool, bool),
) -> Result<Client> {
    let started = Instant::now();
    let violations = Violations::default();
    let mut is_logged = false;
    loop {
        connected.is_now();
        let options = options(config, connected.clone(), violations.clone(), (logs, is_foreign))?;
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
        if started.elapsed() > LOG_DELAY && !std::mem::replace(&mut is_logged, true) {
            warn!(%error, "NATS does not answer; waiting for it");
        }
        sleep(Duration::from_millis(100)).await;
    }
}

fn options(
    config: &BusConfig,
    connected: LastConnected,
    violations: Violations,
    (logs, is_foreign): (bool, bool),
) -> Result<ConnectOptions> {
    let role = config.role;
    let attempts = Attempts::default();
    let noted = attempts.clone();
    let options = servers::options(&config.servers, config.login.as_ref()).map_err(Error::unavailable)?;
    let options = options
        .name(&config.name)
        // Elsewhere a user may have what is usual.
        .custom_inbox_prefix(if is_foreign { "_INBOX".to_owned() } else { role.inbox(&config.subjects) })
        .request_timeout(Some(REQUEST_TIMEOUT))
        .reconnect_delay_callback(reconnect::delay)
        .event_callback(move |event| {
            if matches!(event, Event::Connected) {
                connected.is_now();
                noted.succeeded();
            }
            log_event(&event, role, logs, &violations);
            future::ready(())
        });
    if is_foreign || config.servers.addresses().len() < 2 {
        return Ok(options.connection_timeout(REQUEST_TIMEOUT).ping_interval(PING_INTERVAL));
    }
    // Those that are named are all that there are: a container that is gone leaves addresses behind.
    let options = options.ignore_discovered_servers().connection_timeout(CONNECT_TIMEOUT_IN_CLUSTER);
    Ok(options.ping_interval(PING_INTERVAL_IN_CLUSTER).reconnect_to_server_callback(move |servers, last| {
        // The first time, all are tried one after the other.
        future::ready((!last.server_id.is_empty()).then(|| attempts.next(&servers)).flatten())
    }))
}

/// The violations of permissions that were logged.
#[derive(Clone, Default)]
struct Violations(Arc<Mutex<HashSet<String>>>);

impl Violations {
    fn is_new(&self, violation: &str) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logged.len() < MAX_VIOLATIONS && logged.insert(violation.to_owned())
    }
}

fn log_event(event: &Event, role: Role, logs: bool, violations: &Violations) {
    match event {
        Event::Connected | Event::Disconnected if !logs => {}
        Event::Connected => info!("NATS connection is up"),
        Event::Draining | Event::Closed => debug!("NATS connection is closing"),
        Event::ServerError(ServerError::Other(violation)) if violation.starts_with(VIOLATION) => {
            if violations.is_new(violation) {
                error!(
                    violation,
                    role = role.as_str(),
                    "NATS does not permit what this role has to do: give the user in --nats-user-password-file the \
                     permissions that `skep nats-users` prints"
                );
            }
        }
        other => warn!(event = %other, "NATS connection changed"),
    }
}

fn require_version(client: &Client) -> Result<()> {
    if client.is_server_compatible(2, 12, 0) {
        return Ok(());
    }
    Err(Error::ServerTooOld { found: client.server_info().version, needed: OLDEST_SERVER })
}
