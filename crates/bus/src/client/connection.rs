//! The connection to NATS, once it stands.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, jetstream};
use skep_protocol::{DefaultNamespace, Subjects};
use time::OffsetDateTime;
use tokio::{sync::watch, time::timeout};

use crate::{
    Kept, Monitors, Role,
    audit::ledger::Ledger,
    bodies::deletions::Discards,
    calls::lookup::Lookup,
    client::clock,
    client::connect::{Outside, REQUEST_TIMEOUT},
    client::durability::LastFound,
    publish::Publisher,
    publish::batch::Batcher,
    publish::rates::Rates,
    publish::stalled::Stalled,
    queue::backlog::SeenBacklogs,
    streams,
    streams::supervisor::Missed,
};

/// The connection to NATS that all handles of a role share, and what is known of the server.
pub struct Connection {
    pub(crate) client: Client,
    pub(crate) jetstream: jetstream::Context,
    /// A second connection, so that a burst of deliveries does not delay acknowledgements of submits.
    pub(crate) deliveries: jetstream::Context,
    pub(crate) connected: LastConnected,
    /// How connections for what other services send are made, see [`Outside`].
    pub(crate) outside: Arc<Outside>,
    pub(crate) role: Role,
    pub(crate) logs: bool,
    pub(crate) subjects: Arc<Subjects>,
    pub(crate) default_namespace: DefaultNamespace,
    pub(crate) streams: Arc<streams::Streams>,
    pub(crate) kept: Kept,
    pub(crate) monitors: Monitors,
    pub(crate) found: LastFound,
    pub(crate) controller_seen: ControllerSeen,
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
    /// Which calls their function cannot take now.
    pub(crate) in_backlog: Lookup,
    pub(crate) in_lanes: Lookup,
    /// Which functions have a backlog, and which ones are hot.
    pub(crate) backlogs: SeenBacklogs,
    pub(crate) rates: Rates,
    pub(crate) ledger: Ledger,
    pub(crate) discards: Discards,
}

impl Connection {
    /// How the names of functions are read, by everyone on this bus.
    pub fn default_namespace(&self) -> &DefaultNamespace {
        &self.default_namespace
    }

    /// What all subjects and streams of skep begin with.
    pub fn subject_prefix(&self) -> &str {
        self.subjects.prefix()
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

    /// How often a connection was made again after it was lost.
    pub fn reconnects(&self) -> u64 {
        self.connections().saturating_sub(self.clients().len() as u64)
    }

    /// How long ago a controller wrote its lease, which it does every two seconds; `None` if none was ever seen.
    pub fn controller_seen(&self) -> Option<Duration> {
        self.controller_seen.ago()
    }

    /// How long ago the connection was made, or made again.
    pub fn connected_for(&self) -> Duration {
        self.connected.elapsed()
    }

    pub(crate) fn clients(&self) -> [Client; 2] {
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

/// When a controller wrote its lease last, in nanoseconds and by the server's clock; 0 if none was seen.
#[derive(Default)]
pub(crate) struct ControllerSeen(AtomicI64);

impl ControllerSeen {
    pub(crate) fn at(&self, at: OffsetDateTime) {
        self.0.store(i64::try_from(at.unix_timestamp_nanos()).unwrap_or(0), Ordering::Relaxed);
    }

    fn ago(&self) -> Option<Duration> {
        let at = Some(self.0.load(Ordering::Relaxed)).filter(|at| *at > 0)?;
        let at = OffsetDateTime::from_unix_timestamp_nanos(at.into()).ok()?;
        Some((clock::now() - at).try_into().unwrap_or_default())
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
