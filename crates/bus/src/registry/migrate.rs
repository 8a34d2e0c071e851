//! Migrates a registry that an older version wrote.

use async_nats::jetstream::kv::Operation;
use futures_util::StreamExt;
use skep_protocol::{FunctionRecord, RegistryKey};
use tracing::{info, warn};

use crate::{Error, Lease, Result};

impl Lease {
    /// Splits each function that is under a single key into spec and status, and returns how many there were.
    ///
    /// Watchers see the function all the time. After a crash the next controller continues.
    pub async fn migrate_functions(&self) -> Result<usize> {
        let store = &self.nats().streams.functions;
        // The lease wrote its key, so there is always a last entry.
        let mut watch = store.watch_with_history("*").await.map_err(Error::unavailable)?;
        let mut migrated = 0;
        let lost = || Error::unavailable("the connection was lost before all functions were read");
        loop {
            let entry = watch.next().await.ok_or_else(lost)?;
            let entry = entry.map_err(Error::unavailable)?;
            let is_last = entry.delta == 0;
            if let (Operation::Put, Ok(key)) = (entry.operation, RegistryKey::parse(&entry.key)) {
                match serde_json::from_slice::<FunctionRecord>(&entry.value) {
                    Ok(record) => {
                        self.split(&key, &record).await?;
                        migrated += 1;
                    }
                    Err(error) => warn!(%error, key = entry.key, "a function's record cannot be read and stays"),
                }
            }
            if is_last {
                break;
            }
        }
        if migrated > 0 {
            info!(functions = migrated, "the registry was migrated to two keys per function");
        }
        Ok(migrated)
    }

    /// The status goes first, because the spec makes it count.
    async fn split(&self, key: &RegistryKey, record: &FunctionRecord) -> Result<()> {
        let (name, store) = (key.name(), &self.nats().streams.functions);
        let spec = RegistryKey::Spec(name.clone()).to_string();
        let known = store.entry(spec).await.map_err(Error::unavailable)?;
        if known.is_none_or(|spec| spec.operation != Operation::Put) {
            self.put_status(name, record).await?;
            self.put_spec(name, record).await?;
        }
        self.purge(key).await
    }
}
