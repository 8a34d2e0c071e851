//! How far each schedule is planned: one key per schedule beside the sources, which only the planner reads.

use std::collections::BTreeMap;

use async_nats::jetstream::kv::{Operation, Store};
use futures_util::{StreamExt, TryStreamExt, stream};
use skep_protocol::{SchedulePlan, SourceName};
use tracing::warn;

use super::merge::Key;
use crate::{Error, Lease, Result, Sources};

/// Plans that are read at once.
const AT_ONCE: usize = 64;
pub(super) const PREFIX: &str = "plan.";

impl Sources {
    /// How far each schedule is planned, those of sources that are gone too.
    pub async fn plans(&self) -> Result<BTreeMap<SourceName, SchedulePlan>> {
        let store = &self.nats.streams.sources;
        let beginning = format!("$KV.{}.{PREFIX}", store.name);
        let subjects = store.stream.info_with_subjects(format!("{beginning}*")).await.map_err(Error::unavailable)?;
        let subjects: Vec<(String, usize)> = subjects.try_collect().await.map_err(Error::unavailable)?;
        let names = subjects.iter().filter_map(|(subject, _)| subject.strip_prefix(&beginning)?.parse().ok());
        let names: Vec<SourceName> = names.collect();
        let read = stream::iter(names.into_iter().map(|name| read(store.clone(), name)));
        let plans: Vec<_> = read.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(plans.into_iter().flatten().collect())
    }
}

async fn read(store: Store, name: SourceName) -> Result<Option<(SourceName, SchedulePlan)>> {
    let key = Key::Plan(name.clone()).to_string();
    let entry = store.entry(key.clone()).await.map_err(Error::unavailable)?;
    let Some(entry) = entry.filter(|entry| entry.operation == Operation::Put) else { return Ok(None) };
    match serde_json::from_slice(&entry.value) {
        Ok(plan) => Ok(Some((name, plan))),
        Err(error) => {
            warn!(%error, key, "it cannot be read how far a schedule is planned; it is planned anew");
            Ok(None)
        }
    }
}

impl Lease {
    /// Writes how far a schedule is planned.
    pub async fn put_plan(&self, name: &SourceName, plan: &SchedulePlan) -> Result<()> {
        self.put_at(self.sources(), &Key::Plan(name.clone()).to_string(), plan).await.map(|_| ())
    }

    /// Forgets a schedule that has no calls any more.
    pub async fn remove_plan(&self, name: &SourceName) -> Result<()> {
        self.purge_at(self.sources(), &Key::Plan(name.clone()).to_string()).await.map(|_| ())
    }
}
