//! Which process is the controller: one at a time, by a lease that expires. Only its holder writes the registry.
//!
//! Each new holder writes its name into the buckets of functions, versions and sources, and every write there names the holder that made it.
//! So the server refuses the writes of a former holder, however late they arrive.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{
    HeaderMap,
    header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
    jetstream::{
        context::PublishErrorKind,
        kv::{CreateErrorKind, Operation, Store, UpdateErrorKind},
    },
};
use bytes::Bytes;
use serde::Serialize;
use skep_protocol::{FunctionName, FunctionRecord, RegistryKey};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{Connection, Error, Leadership, Result};

/// The server lets the lease expire this long after its last renewal.
pub(crate) const LEASE_TTL: Duration = Duration::from_secs(8);
/// The holder stops this much earlier, because clocks differ and messages take time.
const LEASE_MARGIN: Duration = Duration::from_secs(1);
const RENEWAL_INTERVAL: Duration = Duration::from_secs(2);
/// Between two checks of another process's lease, and between two attempts to renew one's own.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

const LEASE: &str = "controller";
/// The key in each of these buckets that names its writer. No function and no source can have this name.
pub(crate) const WRITER: &str = "_controller";

const EXPECTED_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

/// The right to be the controller.
pub struct Lease {
    leadership: Leadership,
    holder: String,
    /// The lease's own revision.
    revision: AtomicU64,
    /// Where it writes: the functions, their versions, and the sources.
    functions: Place,
    versions: Place,
    sources: Place,
    held_until: Mutex<Instant>,
    lost: CancellationToken,
}

/// A bucket that only the holder of the lease writes.
pub(crate) struct Place {
    bucket: String,
    /// The revision of [`WRITER`] there, which each write names.
    writer: u64,
}

impl Place {
    /// From now on, what another holder writes there is refused.
    async fn take(store: &Store, holder: &str) -> Result<Self> {
        let writer = store.put(WRITER, holder.to_owned().into()).await.map_err(Error::unavailable)?;
        Ok(Self { bucket: store.name.clone(), writer })
    }
}

impl Leadership {
    /// Waits until no other controller holds the lease, and takes it; `waiting` is cancelled when there is one.
    ///
    /// A holder's name belongs to one process. A process with the name of a holder that has ended need not wait until its lease expires.
    pub async fn acquire(&self, holder: &str, waiting: &CancellationToken) -> Result<Lease> {
        loop {
            match self.try_to_lead(holder).await {
                Ok(Some(lease)) => return Ok(lease),
                Ok(None) if !waiting.is_cancelled() => {
                    waiting.cancel();
                    info!("another controller is active; this one waits for its turn");
                }
                Ok(None) => {}
                Err(error) => warn!(error = error.chain(), "the controller's lease cannot be taken now"),
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    /// Takes the lease, and what it may write to, unless another process has it.
    async fn try_to_lead(&self, holder: &str) -> Result<Option<Lease>> {
        let begun = Instant::now();
        let Some(revision) = self.try_lease(holder).await? else { return Ok(None) };
        let functions = Place::take(&self.nats.streams.functions, holder).await?;
        let versions = Place::take(&self.nats.streams.versions, holder).await?;
        let sources = Place::take(&self.nats.streams.sources, holder).await?;
        Ok(Some(Lease {
            leadership: self.clone(),
            holder: holder.to_owned(),
            revision: AtomicU64::new(revision),
            functions,
            versions,
            sources,
            held_until: Mutex::new(begun + LEASE_TTL - LEASE_MARGIN),
            lost: CancellationToken::new(),
        }))
    }

    async fn try_lease(&self, holder: &str) -> Result<Option<u64>> {
        let (store, value) = (&self.nats.streams.controller, Bytes::copy_from_slice(holder.as_bytes()));
        let entry = store.entry(LEASE).await.map_err(Error::unavailable)?;
        let entry = entry.filter(|entry| entry.operation == Operation::Put);
        match entry {
            Some(entry) if entry.value == value => match store.update(LEASE, value, entry.revision).await {
                Ok(revision) => Ok(Some(revision)),
                Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(None),
                Err(error) => Err(Error::unavailable(error)),
            },
            Some(_) => Ok(None),
            None => match store.create(LEASE, value).await {
                Ok(revision) => Ok(Some(revision)),
                Err(error) if error.kind() == CreateErrorKind::AlreadyExists => Ok(None),
                Err(error) => Err(Error::unavailable(error)),
            },
        }
    }
}

impl Lease {
    /// Whether it is sure that nobody else is the controller.
    pub fn is_held(&self) -> bool {
        !self.lost.is_cancelled() && Instant::now() < *self.held_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews it; returns when somebody else is the controller.
    pub async fn keep(&self) {
        while !self.lost.is_cancelled() {
            let begun = Instant::now();
            let pause = match self.renew().await {
                Ok(true) => {
                    *self.held_until.lock().unwrap_or_else(PoisonError::into_inner) = begun + LEASE_TTL - LEASE_MARGIN;
                    RENEWAL_INTERVAL
                }
                Ok(false) => break,
                // The server may come back before anybody has taken the lease.
                Err(_) => RETRY_INTERVAL,
            };
            tokio::select! {
                () = self.lost.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.lost.cancel();
    }

    /// Returns when somebody else is the controller; [`Self::keep`] notices it.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Whether it is ours for another while.
    async fn renew(&self) -> Result<bool> {
        let store = &self.leadership.nats.streams.controller;
        let value = Bytes::copy_from_slice(self.holder.as_bytes());
        let revision = match store.update(LEASE, value, self.revision.load(Ordering::Relaxed)).await {
            Ok(revision) => revision,
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {
                // It has run out while the server was away, or the answer to a renewal was lost.
                let Some(revision) = self.leadership.try_lease(&self.holder).await? else { return Ok(false) };
                let writer = self.leadership.nats.streams.functions.entry(WRITER).await.map_err(Error::unavailable)?;
                if writer.is_none_or(|writer| writer.revision != self.functions.writer) {
                    return Ok(false);
                }
                revision
            }
            Err(error) => return Err(Error::unavailable(error)),
        };
        self.revision.store(revision, Ordering::Relaxed);
        Ok(true)
    }

    /// Gives it up, so that the next one need not wait.
    pub async fn release(&self) {
        if self.is_held() {
            // It runs out all the same.
            let _ = self.leadership.nats.streams.controller.delete(LEASE).await;
        }
        self.lost.cancel();
    }

    /// Writes what is wanted of a function; returns the revision it became.
    pub async fn put_spec(&self, name: &FunctionName, record: &FunctionRecord) -> Result<u64> {
        self.put(&RegistryKey::Spec(name.clone()), &record.spec()).await
    }

    /// Writes what there is of a function; it counts only with a spec.
    pub async fn put_status(&self, name: &FunctionName, record: &FunctionRecord) -> Result<()> {
        self.put(&RegistryKey::Status(name.clone()), &record.status()).await.map(|_| ())
    }

    /// Writes both; returns the revision that the spec became.
    pub async fn put_function(&self, name: &FunctionName, record: &FunctionRecord) -> Result<u64> {
        let revision = self.put_spec(name, record).await?;
        self.put_status(name, record).await?;
        Ok(revision)
    }

    /// Removes a function. The status goes first: left behind, it would count for the next function of that name.
    pub async fn remove_function(&self, name: &FunctionName) -> Result<()> {
        self.purge(&RegistryKey::Status(name.clone())).await?;
        self.purge(&RegistryKey::Spec(name.clone())).await
    }

    pub(crate) fn nats(&self) -> &Connection {
        &self.leadership.nats
    }

    async fn put<T: Serialize>(&self, key: &RegistryKey, value: &T) -> Result<u64> {
        self.put_at(&self.functions, &key.to_string(), value).await
    }

    pub(crate) async fn purge(&self, key: &RegistryKey) -> Result<()> {
        self.purge_at(&self.functions, &key.to_string()).await.map(|_| ())
    }

    pub(super) fn versions(&self) -> &Place {
        &self.versions
    }

    pub(crate) fn sources(&self) -> &Place {
        &self.sources
    }

    /// Writes a key as JSON; returns the revision it became.
    pub(crate) async fn put_at<T: Serialize>(&self, place: &Place, key: &str, value: &T) -> Result<u64> {
        let value = serde_json::to_vec(value)
            .map_err(|error| Error::Unreadable { subject: key.to_owned(), reason: error.to_string() })?;
        self.write(place, key, HeaderMap::new(), value.into()).await
    }

    /// Removes a key and its value; returns the revision of that.
    pub(crate) async fn purge_at(&self, place: &Place, key: &str) -> Result<u64> {
        let mut headers = HeaderMap::new();
        headers.insert("KV-Operation", "PURGE");
        headers.insert("Nats-Rollup", "sub");
        self.write(place, key, headers, Bytes::new()).await
    }

    async fn write(&self, place: &Place, key: &str, mut headers: HeaderMap, value: Bytes) -> Result<u64> {
        let Place { bucket, writer } = place;
        headers.insert(EXPECTED_SUBJECT, format!("$KV.{bucket}.{WRITER}"));
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, writer.to_string());
        let subject = format!("$KV.{bucket}.{key}");
        let published =
            async { self.leadership.nats.jetstream.publish_with_headers(subject, headers, value).await?.await };
        match published.await {
            Ok(stored) => Ok(stored.sequence),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                self.lost.cancel();
                Err(Error::NotController)
            }
            Err(error) => Err(Error::unavailable(error)),
        }
    }
}
