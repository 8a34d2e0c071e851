//! The namespaces: one key each, written and read only by the controller.

use futures_util::TryStreamExt;
use skep_protocol::NamespaceInfo;
use tracing::warn;

use crate::{Bus, Error, Result};

impl Bus {
    /// All namespaces at this moment; the default one only if something was noted of it.
    pub async fn namespaces(&self) -> Result<Vec<NamespaceInfo>> {
        let store = &self.streams.namespaces;
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

    pub async fn put_namespace(&self, namespace: &NamespaceInfo) -> Result<()> {
        let value = serde_json::to_vec(namespace)
            .map_err(|error| Error::Unreadable { subject: namespace.name.clone(), reason: error.to_string() })?;
        self.streams.namespaces.put(&namespace.name, value.into()).await.map_err(Error::unavailable)?;
        Ok(())
    }

    pub async fn remove_namespace(&self, name: &str) -> Result<()> {
        self.streams.namespaces.purge(name).await.map_err(Error::unavailable)
    }
}
