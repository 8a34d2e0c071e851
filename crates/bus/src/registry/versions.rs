//! The versions of functions: the history of one key per function in a bucket of their own, so that those who watch the registry do not read them.

use std::time::Duration;

use async_nats::jetstream::kv::Operation;
use futures_util::TryStreamExt;
use skep_protocol::{FunctionName, KeptVersion};
use tokio::time::timeout;
use tracing::warn;

use crate::{Error, Lease, Result, Versions};

/// How long the server may take to list a function's versions.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

impl Versions {
    /// The versions of a function that are kept, the oldest first. One that cannot be read is skipped.
    pub async fn of(&self, name: &FunctionName) -> Result<Vec<KeptVersion>> {
        let read = timeout(READ_TIMEOUT, self.read(name)).await;
        read.map_err(|_| Error::unavailable(format!("NATS did not list the versions within {READ_TIMEOUT:?}")))?
    }

    async fn read(&self, name: &FunctionName) -> Result<Vec<KeptVersion>> {
        let store = &self.nats.streams.versions;
        let mut entries = store.history(name.as_str()).await.map_err(Error::unavailable)?;
        let mut kept = Vec::new();
        while let Some(entry) = entries.try_next().await.map_err(Error::unavailable)? {
            if entry.operation != Operation::Put {
                continue;
            }
            match serde_json::from_slice(&entry.value) {
                Ok(version) => kept.push(version),
                Err(error) => warn!(%error, function = %name, "a version cannot be read and is skipped"),
            }
        }
        Ok(kept)
    }
}

impl Lease {
    /// Keeps a version; the oldest one goes if there are too many.
    pub async fn keep_version(&self, name: &FunctionName, version: &KeptVersion) -> Result<()> {
        self.put_at(self.versions(), name.as_str(), version).await.map(|_| ())
    }

    /// Removes all versions of a function.
    pub async fn remove_versions(&self, name: &FunctionName) -> Result<()> {
        self.purge_at(self.versions(), name.as_str()).await.map(|_| ())
    }
}
