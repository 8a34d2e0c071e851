//! Merges the keys of each function into one record.

use std::collections::{HashMap, hash_map::Entry as Place};

use async_nats::jetstream::kv::{Entry, Operation};
use serde::de::DeserializeOwned;
use skep_protocol::{FunctionName, FunctionRecord, FunctionSpec, RegistryKey, ReplicaStatus};
use tracing::warn;

use super::{IDENTITY, RegistryEvent};
use crate::registry::{leadership::WRITER, watch::Reader};

#[derive(Default)]
pub(super) struct Merge(HashMap<FunctionName, Parts>);

#[derive(Default)]
struct Parts {
    spec: Option<FunctionSpec>,
    status: Option<ReplicaStatus>,
    /// From the single key of older versions. It counts until there is a spec.
    whole: Option<FunctionRecord>,
}

impl Reader for Merge {
    type Event = RegistryEvent;

    const CURRENT: RegistryEvent = RegistryEvent::Current;

    /// A key that names no function changes nothing, and neither does a status without a spec.
    fn apply(&mut self, entry: &Entry) -> Option<RegistryEvent> {
        let key = match RegistryKey::parse(&entry.key) {
            Ok(key) => key,
            Err(_) if [WRITER, IDENTITY].contains(&entry.key.as_str()) => return None,
            Err(error) => {
                warn!(%error, key = entry.key, "a key of the registry names no function and is skipped");
                return None;
            }
        };
        let (name, revision) = (key.name().clone(), entry.revision);
        let mut place = match self.0.entry(name.clone()) {
            Place::Occupied(place) => place,
            Place::Vacant(place) => place.insert_entry(Parts::default()),
        };
        let was_there = place.get().record().is_some();
        if let Err(error) = place.get_mut().set(&key, entry) {
            warn!(%error, key = entry.key, "a function's record cannot be read and is skipped");
        }
        let record = place.get().record();
        if place.get().is_empty() {
            place.remove();
        }
        match record {
            Some(record) => Some(RegistryEvent::Put { name, record: Box::new(record), revision }),
            None if was_there => Some(RegistryEvent::Deleted { name, revision }),
            None => None,
        }
    }
}

impl Parts {
    /// Takes one key's value; one that cannot be read changes nothing.
    fn set(&mut self, key: &RegistryKey, entry: &Entry) -> serde_json::Result<()> {
        match key {
            RegistryKey::Spec(_) => {
                self.spec = read(entry)?;
                // The spec replaces it for good.
                self.whole = None;
            }
            RegistryKey::Status(_) => self.status = read(entry)?,
            RegistryKey::Whole(_) if self.spec.is_none() => self.whole = read(entry)?,
            RegistryKey::Whole(_) => {}
        }
        Ok(())
    }

    fn record(&self) -> Option<FunctionRecord> {
        match &self.spec {
            Some(spec) => Some(FunctionRecord::new(spec.clone(), self.status.clone().unwrap_or_default())),
            None => self.whole.clone(),
        }
    }

    fn is_empty(&self) -> bool {
        self.spec.is_none() && self.status.is_none() && self.whole.is_none()
    }
}

/// The value of a key; `None` of one that was removed.
pub(crate) fn read<T: DeserializeOwned>(entry: &Entry) -> serde_json::Result<Option<T>> {
    match entry.operation {
        Operation::Put => serde_json::from_slice(&entry.value).map(Some),
        Operation::Delete | Operation::Purge => Ok(None),
    }
}
