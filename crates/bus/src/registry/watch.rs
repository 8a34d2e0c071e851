//! Watches a bucket whole: first everything that is there, then each change. No key is missed.

use std::collections::HashSet;

use async_nats::jetstream::kv::{Entry, Store, Watch};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use crate::{Error, Result};

/// Reads the entries of a bucket, in order.
pub(crate) trait Reader: Default + Send {
    type Event: Send;

    /// Everything that was there when the watch began has been seen.
    const CURRENT: Self::Event;

    /// What an entry changes, if anything.
    fn apply(&mut self, entry: &Entry) -> Option<Self::Event>;
}

/// First what is there, then [`Reader::CURRENT`], then each change. It ends when the connection is lost.
pub(crate) async fn watch<R: Reader>(store: &Store) -> Result<impl Stream<Item = Result<R::Event>> + use<R>> {
    let store = store.clone();
    // The store's own status is as old as the store, so the server is asked.
    let info = store.stream.get_info().await.map_err(Error::unavailable)?;
    let watch = store.watch_with_history(">").await.map_err(Error::unavailable)?;
    let (begin, first_look) = match info.state.messages {
        0 => (vec![Ok(R::CURRENT)], None),
        _ => (Vec::new(), Some(HashSet::new())),
    };
    let watching = Watching { store, watch, first_look, reader: R::default(), revision: 0 };
    let changes = stream::unfold(watching, Watching::next);
    Ok(stream::iter(begin).chain(changes.flat_map(stream::iter)))
}

struct Watching<R> {
    store: Store,
    watch: Watch,
    /// The keys that were seen, until all have been.
    first_look: Option<HashSet<String>>,
    reader: R,
    /// Everything up to it has been seen.
    revision: u64,
}

impl<R: Reader> Watching<R> {
    async fn next(mut self) -> Option<(Vec<Result<R::Event>>, Self)> {
        let entry = match self.watch.next().await? {
            Ok(entry) => entry,
            Err(error) => return Some((vec![Err(Error::unavailable(error))], self)),
        };
        self.revision = entry.revision;
        let mut events: Vec<_> = self.reader.apply(&entry).map(Ok).into_iter().collect();
        if let Some(seen) = &mut self.first_look {
            seen.insert(entry.key);
        }
        if entry.delta == 0 {
            if let Some(seen) = self.first_look.take() {
                match missed(&self.store, &seen, self.revision, &mut self.reader).await {
                    Ok(missed) => events.extend(missed.into_iter().map(Ok)),
                    Err(error) => events.push(Err(error)),
                }
            }
            events.push(Ok(R::CURRENT));
        }
        Some((events, self))
    }
}

/// What the watch has not come to yet.
///
/// A key that is written while the first look goes on moves behind its end, so the watch tells it only later.
async fn missed<R: Reader>(
    store: &Store,
    seen: &HashSet<String>,
    revision: u64,
    reader: &mut R,
) -> Result<Vec<R::Event>> {
    let prefix = format!("$KV.{}.", store.name);
    let subjects = store.stream.info_with_subjects(format!("{prefix}>")).await.map_err(Error::unavailable)?;
    let subjects: Vec<(String, usize)> = subjects.try_collect().await.map_err(Error::unavailable)?;
    let keys = subjects.iter().filter_map(|(subject, _)| subject.strip_prefix(&prefix));
    let mut missed = Vec::new();
    for key in keys.filter(|key| !seen.contains(*key)) {
        if let Some(mut entry) = store.entry(key).await.map_err(Error::unavailable)? {
            // The changes before this one are still to come.
            entry.revision = revision;
            missed.extend(reader.apply(&entry));
        }
    }
    Ok(missed)
}
