//! The audit log: each change, and each attempt that was refused, is an entry on the bus. `GET /system/audit-log` shows them.

mod list;
mod repeated;
mod request;

use std::{net::IpAddr, time::Duration};

use prometheus::{IntCounter, Registry};
use skep_protocol::{AuditAction, AuditLogEntry};
use tokio::{
    sync::{Mutex, mpsc},
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;

use self::repeated::Repeated;
pub(crate) use self::{
    list::routes,
    request::{Asked, Details, Done},
};
use crate::auth::Caller;

/// Entries that nobody waits for; beyond it they are lost.
const MAX_WAITING: usize = 512;
/// How often the counts are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// How long entries may take to be stored at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// One caller gets an entry for each of this many refusals a minute; further ones are only counted.
const MAX_FREE_REFUSALS: u32 = 30;

const LOST: (&str, &str) = (
    "gateway_audit_log_lost_total",
    "Entries of the audit log that may not be stored; the log of the gateway has them.",
);

pub(crate) struct AuditLog {
    /// `None` if no audit log is kept.
    stored: Option<skep_bus::AuditLog>,
    repeated: Repeated,
    sender: mpsc::Sender<Waiting>,
    receiver: Mutex<mpsc::Receiver<Waiting>>,
    lost: IntCounter,
}

struct Waiting {
    entry: AuditLogEntry,
    once: Option<String>,
}

impl AuditLog {
    pub(crate) fn register(stored: Option<skep_bus::AuditLog>, registry: &Registry) -> prometheus::Result<Self> {
        let lost = IntCounter::new(LOST.0, LOST.1)?;
        registry.register(Box::new(lost.clone()))?;
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let stored = stored.filter(skep_bus::AuditLog::is_kept);
        Ok(Self { stored, repeated: Repeated::default(), sender, receiver: Mutex::new(receiver), lost })
    }

    /// Stores the entry of a change. The answer waits for it, but no longer than a second.
    pub(crate) async fn record(&self, entry: &AuditLogEntry) {
        self.store(entry, None).await;
    }

    /// Stores an entry that nobody waits for; of several with the same `once`, also of other gateways, only one.
    pub(crate) fn record_soon(&self, entry: AuditLogEntry, once: Option<String>) {
        if self.stored.is_none() {
            return;
        }
        if let Err(error) = self.sender.try_send(Waiting { entry, once }) {
            let (mpsc::error::TrySendError::Full(waiting) | mpsc::error::TrySendError::Closed(waiting)) = error;
            self.lost.inc();
            skep_bus::warn_of_lost_entry(&waiting.entry, "too many entries wait to be stored");
        }
    }

    /// Somebody who has logged in was refused something.
    pub(crate) fn refused(&self, caller: &Caller, entry: AuditLogEntry) {
        if let Some(entry) = self.repeated.admit(caller.name(), MAX_FREE_REFUSALS, entry) {
            self.record_soon(entry, None);
        }
    }

    /// A password or a token was wrong, or was not checked because too many were wrong.
    pub(crate) fn login_failed(&self, address: IpAddr, status: u16, error: &str) {
        let entry = AuditLogEntry::new(skep_bus::now(), "unknown", AuditAction::Login);
        let (shown, status, error) = (Some(address.to_string()), Some(status), Some(error.to_owned()));
        let entry = AuditLogEntry { address: shown, status, error, ..entry };
        let source = format!("login {}", skep_http::network_of(address));
        if let Some(entry) = self.repeated.admit(&source, 1, entry) {
            self.record_soon(entry, None);
        }
    }

    /// Stores what nobody waits for, until `end`; then what is left.
    pub(crate) async fn follow(&self, end: &CancellationToken) {
        let mut receiver = self.receiver.lock().await;
        let mut look = interval(CHECK_INTERVAL);
        loop {
            tokio::select! {
                () = end.cancelled() => break,
                Some(Waiting { entry, once }) = receiver.recv() => self.store(&entry, once.as_deref()).await,
                _ = look.tick() => {
                    for entry in self.repeated.due() {
                        self.store(&entry, None).await;
                    }
                }
            }
        }
        receiver.close();
        let rest = async {
            while let Some(Waiting { entry, once }) = receiver.recv().await {
                self.store(&entry, once.as_deref()).await;
            }
            for entry in self.repeated.all() {
                self.store(&entry, None).await;
            }
        };
        if timeout(SHUTDOWN_TIMEOUT, rest).await.is_err() {
            tracing::warn!("the last entries of the audit log may be lost, because NATS does not answer");
        }
    }

    async fn store(&self, entry: &AuditLogEntry, once: Option<&str>) {
        if let Some(stored) = &self.stored
            && !stored.write(entry, once).await
        {
            self.lost.inc();
        }
    }
}
