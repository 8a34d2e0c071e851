//! The namespaces: one key each, written and read only by the controller.

use futures_util::TryStreamExt;
use skep_protocol::NamespaceInfo;
use tracing::warn;

use crate::{Error, Namespaces, Result};

impl Namespaces {
    /// All namespaces at this moment; the default one only if something was noted of it.
    pub async fn list(&self) -> Result<Vec<NamespaceInfo>> {
        let store = &self.nats.streams.namespaces;
        let keys: Vec<String> =
            store.keys().await.map_err(Error::unavailable)?.try_collect().await.map_err(Error::unavailable)?;
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            let Some(value) = store.get(&key).await.map_err(Error::unavailable)? else { continue };
            match serde_json::from_slice(&value) {
                Ok(namespace) => found.push(namespace),
                Err(error) => warn!(%error, key, "a namespace cannot be read and is skipped"),
            }
        }
        Ok(found)
    }

    pub async fn put(&self, namespace: &NamespaceInfo) -> Result<()> {
        let value = serde_json::to_vec(namespace)
            .map_err(|error| Error::Unreadable { subject: namespace.name.clone(), reason: error.to_string() })?;
        self.nats.streams.namespaces.put(&namespace.name, value.into()).await.map_err(Error::unavailable)?;
        Ok(())
    }

    pub async fn remove(&self, name: &str) -> Result<()> {
        self.nats.streams.namespaces.purge(name).await.map_err(Error::unavailable)
    }
}
