//! What an acknowledgement of the server is worth. It is never overstated.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use async_nats::jetstream::stream::{Info, PersistenceMode, StorageType};
use skep_protocol::{Durability, Tier};
use tracing::{info, warn};

use crate::{Connection, Error, Result, client::monitor::Monitored};

/// The fewest servers whose majority survives the loss of one.
const MIN_REPLICAS: usize = 3;

/// What was found the last time.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    durability: Durability,
    /// The servers, as they were started, that said they sync.
    syncing: HashSet<String>,
}

/// What was found, shared by all handles on the bus.
#[derive(Clone)]
pub(crate) struct LastFound(Arc<Mutex<Found>>);

impl Default for LastFound {
    fn default() -> Self {
        let durability = Durability { tier: Tier::Memory, replicas: 1, reason: "not looked up yet".to_owned() };
        Self(Arc::new(Mutex::new(Found { durability, syncing: HashSet::new() })))
    }
}

/// Where calls are stored.
struct Stored {
    /// In files, and not acknowledged before they are written.
    in_files: bool,
    replicas: usize,
    /// The names of the servers; none where there is no cluster.
    servers: HashSet<String>,
}

impl Connection {
    /// What a call that is accepted now survives.
    pub fn durability(&self) -> Durability {
        let found = self.found.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // A server that was started since may be set otherwise.
        if found.durability.tier == Tier::Fsync && !found.syncing.contains(&self.client.server_info().server_id) {
            let reason = "this server was started lately and has not reported yet whether it syncs".to_owned();
            return Durability { tier: unsynced(found.durability.replicas), reason, ..found.durability };
        }
        found.durability
    }

    /// Looks up what the server does with what it stores.
    pub(crate) async fn check_durability(&self) -> Result<()> {
        let streams = [&self.streams.invoke, &self.streams.delayed, &self.streams.publish, &self.streams.requests];
        let mut infos = Vec::with_capacity(streams.len());
        for stream in streams {
            infos.push(stream.get_info().await.map_err(Error::unavailable)?);
        }
        let monitored = self.monitors.ask().await;
        let (tier, reason) = judge(&stored(&infos), monitored.as_deref().map_err(String::as_str));
        let replicas = infos.iter().map(|info| info.config.num_replicas).min().unwrap_or(1);
        let syncing = monitored.unwrap_or_default().into_iter().filter(|server| server.syncs_always);
        let durability = Durability { tier, replicas, reason };
        let found = Found { durability: durability.clone(), syncing: syncing.map(|server| server.id).collect() };
        let before = std::mem::replace(&mut *self.found.0.lock().unwrap_or_else(PoisonError::into_inner), found);
        if self.logs && before.durability != durability {
            log(&durability);
        }
        Ok(())
    }
}

fn log(durability: &Durability) {
    let Durability { tier, replicas, reason } = durability;
    match tier {
        Tier::Fsync | Tier::Replicated => info!(tier = tier.as_str(), replicas, reason, "accepted calls are durable"),
        Tier::Memory => warn!(tier = tier.as_str(), replicas, reason, "accepted calls may be lost with a server"),
    }
}

fn stored(infos: &[Info]) -> Stored {
    let in_files = |info: &Info| {
        info.config.storage == StorageType::File && info.config.persist_mode != Some(PersistenceMode::Async)
    };
    let clusters = infos.iter().filter_map(|info| info.cluster.as_ref());
    let names = |cluster: &async_nats::jetstream::stream::ClusterInfo| {
        cluster.leader.iter().chain(cluster.replicas.iter().map(|peer| &peer.name)).cloned().collect::<Vec<_>>()
    };
    Stored {
        in_files: infos.iter().all(in_files),
        replicas: infos.iter().map(|info| info.config.num_replicas).min().unwrap_or(1),
        servers: clusters.flat_map(names).collect(),
    }
}

/// Decides from what is known: where it is stored, and what the servers say.
fn judge(stored: &Stored, monitored: Result<&[Monitored], &str>) -> (Tier, String) {
    let otherwise = unsynced(stored.replicas);
    if !stored.in_files {
        return (otherwise, "the streams are not kept in files, or acknowledged before they are written".to_owned());
    }
    let monitored = match monitored {
        Ok([]) => {
            return (
                otherwise,
                "whether NATS syncs is not known; --nats-monitor says where it can be asked".to_owned(),
            );
        }
        Ok(monitored) => monitored,
        Err(reason) => return (otherwise, format!("whether NATS syncs is not known: {reason}")),
    };
    if let Some(lazy) = monitored.iter().find(|server| !server.syncs_always) {
        return (otherwise, format!("NATS server {} acknowledges before it has synced", lazy.name));
    }
    let is_monitored = |name: &&String| monitored.iter().any(|server| server.name == **name);
    match stored.servers.iter().find(|name| !is_monitored(name)) {
        Some(name) => (otherwise, format!("whether NATS server {name} syncs is not known; --nats-monitor lacks it")),
        None => (Tier::Fsync, "NATS acknowledges what the disk has".to_owned()),
    }
}

/// The tier of what is acknowledged before it is synced.
fn unsynced(replicas: usize) -> Tier {
    if replicas >= MIN_REPLICAS { Tier::Replicated } else { Tier::Memory }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, syncs_always: bool) -> Monitored {
        Monitored { id: format!("id-{name}"), name: name.to_owned(), syncs_always }
    }

    fn in_files(replicas: usize, servers: &[&str]) -> Stored {
        Stored { in_files: true, replicas, servers: servers.iter().map(|&name| name.to_owned()).collect() }
    }

    #[test]
    fn fsync_is_promised_only_if_every_server_that_stores_says_so() {
        let three = ["a", "b", "c"];
        let all: Vec<_> = three.iter().map(|name| server(name, true)).collect();
        let tier = |stored: &Stored, monitored: Result<&[Monitored], &str>| judge(stored, monitored).0;
        assert_eq!(tier(&in_files(1, &[]), Ok(&[server("a", true)])), Tier::Fsync);
        assert_eq!(tier(&in_files(3, &three), Ok(&all)), Tier::Fsync);
        assert_eq!(tier(&in_files(3, &three), Ok(&all[..2])), Tier::Replicated);
        assert_eq!(tier(&in_files(1, &["c"]), Ok(&all[..2])), Tier::Memory);
        assert_eq!(tier(&in_files(1, &[]), Ok(&[server("a", false)])), Tier::Memory);
        assert_eq!(tier(&in_files(3, &three), Err("away")), Tier::Replicated);
        assert_eq!(tier(&in_files(2, &[]), Ok(&[])), Tier::Memory);
        let in_memory = Stored { in_files: false, ..in_files(1, &[]) };
        assert_eq!(tier(&in_memory, Ok(&[server("a", true)])), Tier::Memory);
    }
}
