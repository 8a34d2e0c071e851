//! The connection to NATS.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::{Client, jetstream};
use skep_protocol::{CallId, DefaultNamespace, Subjects};
use time::OffsetDateTime;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, info};

use crate::{
    Error, Kept, Login, Monitors, Result, Role, ServerUrls,
    audit::ledger::Ledger,
    bodies::deletions::Discards,
    calls::lookup::Lookup,
    client::clock,
    client::connection::{connect_client, context, require_version},
    client::durability::LastFound,
    publish::Publisher,
    publish::batch::Batcher,
    publish::rates::Rates,
    publish::stalled::Stalled,
    streams,
    streams::supervisor::Missed,
};

/// The oldest NATS server that has what skep uses (atomic batches, message schedules, one message per subject).
pub const OLDEST_SERVER: &str = "2.12.0";
/// How long an answer of the bus is awaited.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct BusConfig {
    pub servers: ServerUrls,
    pub login: Option<Login>,
    /// Whose connection it is; its user on the server needs no more than the role's [permissions](Role::permissions).
    pub role: Role,
    /// Whether the log says what becomes of the connection; of the buses of one process, one tells.
    pub tells: bool,
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

/// A handle on the bus; cheap to clone.
#[derive(Clone)]
pub struct Bus {
    pub(crate) client: Client,
    pub(crate) jetstream: jetstream::Context,
    /// A second connection, so that a burst of deliveries does not delay acknowledgements of submits.
    pub(crate) deliveries: jetstream::Context,
    pub(crate) connected: LastConnected,
    /// How connections for what other services send are made, see [`Outside`].
    pub(crate) outside: Outside,
    pub(crate) role: Role,
    pub(crate) tells: bool,
    pub(crate) subjects: Arc<Subjects>,
    default_namespace: Arc<DefaultNamespace>,
    pub(crate) streams: Arc<streams::Streams>,
    pub(crate) kept: Arc<Kept>,
    pub(crate) monitors: Arc<Monitors>,
    pub(crate) found: LastFound,
    pub(crate) missed: Missed,
    pub(crate) stalled: Stalled,
    pub(crate) publisher: Publisher,
    /// The ways into the streams of accepted calls, of backlogs, and of finished calls.
    pub(crate) calls: Batcher,
    pub(crate) backlogged: Batcher,
    pub(crate) finished: Batcher,
    /// The way into the stream of events.
    pub(crate) incoming_events: Batcher,
    /// Which calls have their record, and which ones are parked or due.
    pub(crate) recorded: Lookup,
    pub(crate) parked: Lookup,
    pub(crate) rates: Rates,
    pub(crate) ledger: Ledger,
    pub(crate) discards: Discards,
}

impl Bus {
    /// Connects, checks the server's version, makes or checks the streams, and looks at what the server does with them.
    pub async fn connect(config: &BusConfig) -> Result<Self> {
        let connected = LastConnected::default();
        let client = connect_client(config, &connected, config.tells).await?;
        require_version(&client)?;
        let jetstream = context(client.clone());
        let deliveries = context(connect_client(config, &connected, false).await?);
        let streams = Arc::new(Box::pin(ensure_streams(config, &jetstream)).await?);
        if config.tells {
            info!(server = client.server_info().version, "connected to NATS");
        }
        let missed = Missed::default();
        let publisher = Publisher { client: client.clone(), jetstream: jetstream.clone(), missed: missed.clone() };
        let subjects = Arc::new(config.subjects.clone());
        let lookup = |stream, subject: fn(&Subjects, &CallId) -> String| {
            let names = Arc::clone(&subjects);
            Lookup::start(client.clone(), subjects.stream(stream), move |id| subject(&names, id))
        };
        let bus = Self {
            calls: Batcher::start(publisher.clone()),
            backlogged: Batcher::start(publisher.clone()),
            finished: Batcher::start(publisher.clone()),
            incoming_events: Batcher::start(publisher.clone()),
            recorded: lookup("CALLS", Subjects::record_by_id),
            parked: lookup("DELAYED", Subjects::delayed_by_id),
            rates: Rates::default(),
            ledger: Ledger::start(publisher.clone(), Arc::clone(&subjects)),
            discards: Discards::start(client.clone(), config.role, Arc::clone(&streams), Arc::clone(&subjects)),
            publisher,
            client,
            jetstream,
            deliveries,
            connected,
            outside: Outside { config: Arc::new(config.clone()), connected: LastConnected::default() },
            role: config.role,
            tells: config.tells,
            subjects,
            default_namespace: Arc::new(config.default_namespace.clone()),
            streams,
            kept: Arc::new(config.kept.clone()),
            monitors: Arc::new(config.monitors.clone()),
            found: LastFound::default(),
            missed,
            stalled: Stalled::default(),
        };
        bus.look_at_clock().await?;
        bus.look_at_durability().await?;
        Ok(bus)
    }

    pub fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    /// How the names of functions are read, by everyone on this bus.
    pub fn default_namespace(&self) -> &DefaultNamespace {
        &self.default_namespace
    }

    /// How long records are kept at most.
    pub fn keep_records(&self) -> Duration {
        self.kept.records.age
    }

    /// The largest message that the server takes, headers included, in bytes.
    pub fn largest_message(&self) -> usize {
        self.client.max_payload()
    }

    /// Whether the connection stands at this moment.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// Whether there is a connection. In a cluster another server is there soon, so it is waited for.
    pub async fn is_reachable(&self) -> bool {
        if self.is_connected() || self.kept.replicas < 2 {
            return self.is_connected();
        }
        let mut changes = self.connected.changes();
        let connected = async {
            while !self.is_connected() {
                // The event comes a little before the state.
                let _ = timeout(Duration::from_millis(20), changes.changed()).await;
            }
        };
        timeout(REQUEST_TIMEOUT, connected).await.is_ok()
    }

    /// How many connections were made so far. While this number stays the same, no message to this process was missed.
    pub fn connections(&self) -> u64 {
        self.clients().iter().map(|client| client.statistics().connects.load(Ordering::Relaxed)).sum()
    }

    /// How long ago the connection was made, or made again.
    pub fn connected_for(&self) -> Duration {
        self.connected.elapsed()
    }

    /// Ends both connections in order; no handle on this bus is of use afterwards.
    pub async fn close(&self) {
        self.flush().await;
        for client in self.clients() {
            // It is only refused by a connection that has ended already.
            let _ = client.drain().await;
        }
    }

    fn clients(&self) -> [Client; 2] {
        [self.client.clone(), self.deliveries.client()]
    }

    /// Sends what is still buffered, for an orderly end; to a server that is away it cannot be sent.
    pub async fn flush(&self) {
        if !self.is_reachable().await {
            return;
        }
        let (client, deliveries) = (&self.client, self.deliveries.client());
        let flushed = async {
            self.ledger.flush().await;
            tokio::join!(client.flush(), deliveries.flush())
        };
        // At the end of a program there is nobody left to act on a failure.
        let _ = timeout(REQUEST_TIMEOUT, flushed).await;
    }
}

/// Makes connections for subjects that other services may publish to, one for each reader.
///
/// The NATS client closes a connection when it receives headers that are not UTF-8, and its task panics at a value with a bare CR.
/// So messages from outside get a connection of their own, which can be lost and replaced without harm to the rest.
#[derive(Clone)]
pub(crate) struct Outside {
    config: Arc<BusConfig>,
    /// When one of them was made, or made again, last.
    pub(crate) connected: LastConnected,
}

impl Outside {
    /// A new connection; it ends when its last handle is dropped.
    pub(crate) async fn connect(&self) -> Result<jetstream::Context> {
        let once = BusConfig { patience: Duration::ZERO, ..BusConfig::clone(&self.config) };
        connect_client(&once, &self.connected, false).await.map(context)
    }
}

/// When a connection was made last.
///
/// A server that is killed forgets its latest acks (only messages are synced one by one), and hands out again what was finished.
/// So a message from before the connection may have been run, whatever its count of deliveries says.
#[derive(Clone)]
pub(crate) struct LastConnected(Arc<watch::Sender<i64>>);

impl Default for LastConnected {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl LastConnected {
    /// What the clocks of servers and workers may differ by, beside what is known.
    const MARGIN: i64 = 5;

    pub(crate) fn is_now(&self) {
        self.0.send_replace(OffsetDateTime::now_utc().unix_timestamp());
    }

    fn elapsed(&self) -> Duration {
        let seconds = OffsetDateTime::now_utc().unix_timestamp() - *self.0.borrow();
        Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
    }

    /// Hears of each connection that is made.
    pub(crate) fn changes(&self) -> watch::Receiver<i64> {
        self.0.subscribe()
    }

    /// Whether something that was stored at this time may have been handed out before the connection was made.
    pub(crate) fn is_after(&self, stored_at: OffsetDateTime) -> bool {
        stored_at.unix_timestamp() < *self.0.borrow() + clock::ahead().whole_seconds() + Self::MARGIN
    }
}

/// Makes or checks the streams; a cluster may have no leader yet.
async fn ensure_streams(config: &BusConfig, jetstream: &jetstream::Context) -> Result<streams::Streams> {
    let began = Instant::now();
    loop {
        match Box::pin(streams::ensure(jetstream, config.role, &config.subjects, &config.kept)).await {
            // Streams of an older version are changed by the controller.
            Err(error @ (Error::Unavailable(_) | Error::Differs { .. }))
                if began.elapsed() < config.patience && (error.may_pass() || !config.role.changes_streams()) =>
            {
                debug!(error = error.chain(), "the streams cannot be used yet");
                sleep(Duration::from_millis(250)).await;
            }
            ended => return ended,
        }
    }
}
