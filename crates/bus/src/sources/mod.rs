//! The sources of events and their sealed secrets: two keys per source in the bucket `SKEP_SOURCES`, written only by the controller with its [`Lease`].

mod merge;
mod view;

use std::collections::BTreeMap;

use async_nats::jetstream::kv::Operation;
use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use skep_protocol::{SourceName, SourceRecord, SourceSecrets};
use time::OffsetDateTime;

use self::merge::{Key, Merge};
pub use self::view::{FromSource, SourcesView};
use crate::{Error, Lease, Result, Sources, registry::watch};

/// A source with its secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub record: SourceRecord,
    /// Sealed.
    pub secrets: SourceSecrets,
}

/// A change of the sources, as a watcher sees it.
#[derive(Debug)]
pub enum SourceEvent {
    Put {
        source: Box<Source>,
        revision: u64,
    },
    Deleted {
        name: SourceName,
        revision: u64,
    },
    /// Everything that was there when the watch began has been seen.
    Current,
}

impl Sources {
    /// When the bucket of sources was made, by which one that was made anew is known.
    pub async fn made_at(&self) -> Result<OffsetDateTime> {
        let info = self.nats.streams.sources.stream.get_info().await.map_err(Error::unavailable)?;
        Ok(info.created)
    }

    /// All sources at this moment, by name.
    pub async fn list(&self) -> Result<Vec<Source>> {
        let mut found = BTreeMap::new();
        let mut events = std::pin::pin!(self.watch().await?);
        while let Some(event) = events.next().await {
            match event? {
                SourceEvent::Put { source, .. } => drop(found.insert(source.record.name.clone(), *source)),
                SourceEvent::Deleted { name, .. } => drop(found.remove(&name)),
                SourceEvent::Current => break,
            }
        }
        Ok(found.into_values().collect())
    }

    /// A source at this moment.
    pub async fn get(&self, name: &SourceName) -> Result<Option<Source>> {
        let Some(record) = self.read_source(&Key::Spec(name.clone())).await? else { return Ok(None) };
        let secrets = self.read_source(&Key::Secrets(name.clone())).await?.unwrap_or_default();
        Ok(Some(Source { record, secrets }))
    }

    async fn read_source<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>> {
        let entry = self.nats.streams.sources.entry(key.to_string()).await.map_err(Error::unavailable)?;
        let Some(entry) = entry.filter(|entry| entry.operation == Operation::Put) else { return Ok(None) };
        let value = serde_json::from_slice(&entry.value);
        value.map(Some).map_err(|error| Error::Unreadable { subject: key.to_string(), reason: error.to_string() })
    }

    /// First all sources, then [`SourceEvent::Current`], then each change. It ends when the connection is lost.
    pub async fn watch(&self) -> Result<impl Stream<Item = Result<SourceEvent>> + use<>> {
        watch::watch::<Merge>(&self.nats.streams.sources).await
    }
}

impl Lease {
    /// Writes what a source is; returns the revision it became.
    pub async fn put_source(&self, record: &SourceRecord) -> Result<u64> {
        self.put_at(self.sources(), &Key::Spec(record.name.clone()).to_string(), record).await
    }

    /// Writes the secrets of a source, which count only if there is one of that name; returns the revision they became.
    pub async fn put_source_secrets(&self, name: &SourceName, secrets: &SourceSecrets) -> Result<u64> {
        self.put_at(self.sources(), &Key::Secrets(name.clone()).to_string(), secrets).await
    }

    /// Removes a source; returns the revision of that. The secrets go first: left behind, they would count for the next source of that name.
    pub async fn remove_source(&self, name: &SourceName) -> Result<u64> {
        self.purge_at(self.sources(), &Key::Secrets(name.clone()).to_string()).await?;
        self.purge_at(self.sources(), &Key::Spec(name.clone()).to_string()).await
    }
}
