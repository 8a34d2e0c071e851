//! Merges the two keys of each source into one.

use std::{
    collections::{HashMap, hash_map::Entry as Place},
    fmt,
};

use async_nats::jetstream::kv::Entry;
use skep_protocol::{SourceName, SourceRecord, SourceSecrets};
use tracing::warn;

use super::{Source, SourceEvent};
use crate::registry::{leadership::WRITER, merge::read, watch::Reader};

/// A key of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Spec(SourceName),
    Secrets(SourceName),
    /// How far a schedule is planned.
    Plan(SourceName),
}

impl Key {
    fn parse(key: &str) -> Option<Self> {
        match key.split_once('.')? {
            ("spec", name) => name.parse().ok().map(Self::Spec),
            ("secrets", name) => name.parse().ok().map(Self::Secrets),
            ("plan", name) => name.parse().ok().map(Self::Plan),
            _ => None,
        }
    }

    fn name(&self) -> &SourceName {
        match self {
            Self::Spec(name) | Self::Secrets(name) | Self::Plan(name) => name,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spec(name) => write!(formatter, "spec.{name}"),
            Self::Secrets(name) => write!(formatter, "secrets.{name}"),
            Self::Plan(name) => write!(formatter, "plan.{name}"),
        }
    }
}

#[derive(Default)]
pub(super) struct Merge(HashMap<SourceName, Parts>);

#[derive(Default)]
struct Parts {
    record: Option<SourceRecord>,
    secrets: Option<SourceSecrets>,
}

impl Reader for Merge {
    type Event = SourceEvent;

    const CURRENT: SourceEvent = SourceEvent::Current;

    /// A key that names no source changes nothing, and neither do secrets without a spec.
    fn apply(&mut self, entry: &Entry) -> Option<SourceEvent> {
        let Some(key) = Key::parse(&entry.key) else {
            if entry.key != WRITER {
                warn!(key = entry.key, "a key of the sources names none and is passed over");
            }
            return None;
        };
        if let Key::Plan(_) = key {
            return None;
        }
        let (name, revision) = (key.name().clone(), entry.revision);
        let mut place = match self.0.entry(name.clone()) {
            Place::Occupied(place) => place,
            Place::Vacant(place) => place.insert_entry(Parts::default()),
        };
        let was_there = place.get().record.is_some();
        if let Err(error) = place.get_mut().set(&key, entry) {
            warn!(%error, key = entry.key, "a source cannot be read and stays as it was");
        }
        let source = place.get().source();
        if place.get().is_empty() {
            place.remove();
        }
        match source {
            Some(source) => Some(SourceEvent::Put { source: Box::new(source), revision }),
            None if was_there => Some(SourceEvent::Deleted { name, revision }),
            None => None,
        }
    }
}

impl Parts {
    /// Takes one key's value; one that cannot be read changes nothing.
    fn set(&mut self, key: &Key, entry: &Entry) -> serde_json::Result<()> {
        match key {
            Key::Spec(_) => self.record = read(entry)?,
            Key::Secrets(_) => self.secrets = read(entry)?,
            Key::Plan(_) => {}
        }
        Ok(())
    }

    fn source(&self) -> Option<Source> {
        let record = self.record.clone()?;
        Some(Source { record, secrets: self.secrets.clone().unwrap_or_default() })
    }

    fn is_empty(&self) -> bool {
        self.record.is_none() && self.secrets.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_written() {
        for text in ["spec.github", "secrets.a-1", "plan.nightly"] {
            assert_eq!(Key::parse(text).unwrap().to_string(), text);
        }
        for text in [WRITER, "spec", "spec.", "spec.a.b", "status.github", "secrets.A"] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }
}
