//! What is deployed and where it can be reached: two keys per function, written only by the controller with its [`Lease`](crate::Lease).

pub(crate) mod leadership;
mod merge;
mod migrate;
pub(crate) mod namespaces;

use std::collections::{BTreeMap, HashSet};

use async_nats::jetstream::kv::{CreateErrorKind, Store, Watch};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use skep_protocol::{CallId, FunctionName, FunctionRecord};
use time::OffsetDateTime;

use self::merge::Merge;
use crate::{Bus, Error, Result};

/// The key in the registry that tells it apart from others of the same name. No function can have this name.
const IDENTITY: &str = "_identity";

/// A change of the registry, as a watcher sees it.
#[derive(Debug)]
pub enum RegistryEvent {
    Put {
        name: FunctionName,
        record: Box<FunctionRecord>,
        revision: u64,
    },
    Deleted {
        name: FunctionName,
        revision: u64,
    },
    /// Everything that was there when the watch began has been seen.
    Current,
}

impl Bus {
    /// A name that no other registry has, also not one of the same name on other servers; it stays as long as the registry does.
    pub async fn registry_identity(&self) -> Result<String> {
        let store = &self.streams.functions;
        let new = CallId::generate().to_string();
        let id = match store.create(IDENTITY, new.clone().into()).await {
            Ok(_) => new,
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {
                let known = store.get(IDENTITY).await.map_err(Error::unavailable)?;
                let known = known.ok_or_else(|| Error::unavailable("the registry's identity cannot be read"))?;
                String::from_utf8_lossy(&known).into_owned()
            }
            Err(error) => return Err(Error::unavailable(error)),
        };
        Ok(format!("{}.{id}", store.name))
    }

    /// When the registry was created; a recreated one has another time.
    pub async fn registry_made_at(&self) -> Result<OffsetDateTime> {
        let info = self.streams.functions.stream.get_info().await.map_err(Error::unavailable)?;
        Ok(info.created)
    }

    /// All functions at this moment, by name.
    pub async fn functions(&self) -> Result<Vec<(FunctionName, FunctionRecord)>> {
        let mut found = BTreeMap::new();
        let mut events = std::pin::pin!(self.watch_functions().await?);
        while let Some(event) = events.next().await {
            match event? {
                RegistryEvent::Put { name, record, .. } => drop(found.insert(name, *record)),
                RegistryEvent::Deleted { name, .. } => drop(found.remove(&name)),
                RegistryEvent::Current => break,
            }
        }
        Ok(found.into_iter().collect())
    }

    /// First all functions, then [`RegistryEvent::Current`], then each change. It ends when the connection is lost.
    pub async fn watch_functions(&self) -> Result<impl Stream<Item = Result<RegistryEvent>> + use<>> {
        let store = self.streams.functions.clone();
        // The store's own status is as old as the store, so the server is asked.
        let info = store.stream.get_info().await.map_err(Error::unavailable)?;
        let watch = store.watch_with_history(">").await.map_err(Error::unavailable)?;
        let (begin, first_look) = match info.state.messages {
            0 => (vec![Ok(RegistryEvent::Current)], None),
            _ => (Vec::new(), Some(HashSet::new())),
        };
        let changes =
            stream::unfold(Watching { store, watch, first_look, merge: Merge::default(), revision: 0 }, Watching::next);
        Ok(stream::iter(begin).chain(changes.flat_map(stream::iter)))
    }
}

struct Watching {
    store: Store,
    watch: Watch,
    /// The keys that were seen, until all have been.
    first_look: Option<HashSet<String>>,
    merge: Merge,
    /// Everything up to it has been seen.
    revision: u64,
}

impl Watching {
    async fn next(mut self) -> Option<(Vec<Result<RegistryEvent>>, Self)> {
        let entry = match self.watch.next().await? {
            Ok(entry) => entry,
            Err(error) => return Some((vec![Err(Error::unavailable(error))], self)),
        };
        self.revision = entry.revision;
        let mut events: Vec<_> = self.merge.apply(&entry).map(Ok).into_iter().collect();
        if let Some(seen) = &mut self.first_look {
            seen.insert(entry.key);
        }
        if entry.delta == 0 {
            if let Some(seen) = self.first_look.take() {
                match missed(&self.store, &seen, self.revision, &mut self.merge).await {
                    Ok(missed) => events.extend(missed.into_iter().map(Ok)),
                    Err(error) => events.push(Err(error)),
                }
            }
            events.push(Ok(RegistryEvent::Current));
        }
        Some((events, self))
    }
}

/// The functions that the watch has not come to yet.
///
/// A key that is written while the first look goes on moves behind its end, so the watch tells it only later.
async fn missed(store: &Store, seen: &HashSet<String>, revision: u64, merge: &mut Merge) -> Result<Vec<RegistryEvent>> {
    let prefix = format!("$KV.{}.", store.name);
    let subjects = store.stream.info_with_subjects(format!("{prefix}>")).await.map_err(Error::unavailable)?;
    let subjects: Vec<(String, usize)> = subjects.try_collect().await.map_err(Error::unavailable)?;
    let keys = subjects.iter().filter_map(|(subject, _)| subject.strip_prefix(&prefix));
    let mut missed = Vec::new();
    for key in keys.filter(|key| !seen.contains(*key)) {
        if let Some(mut entry) = store.entry(key).await.map_err(Error::unavailable)? {
            // The changes before this one are still to come.
            entry.revision = revision;
            missed.extend(merge.apply(&entry));
        }
    }
    Ok(missed)
}
