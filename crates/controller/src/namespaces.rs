//! The namespaces. None is deleted while something is put into it.

use std::collections::BTreeMap;

use skep_bus::ControllerBus;
use skep_protocol::{DefaultNamespace, NamespaceInfo};
use tokio::sync::{RwLock, RwLockReadGuard};
use tracing::info;

use crate::{Error, Result};

type Known = BTreeMap<String, NamespaceInfo>;

pub(crate) struct Namespaces {
    bus: ControllerBus,
    /// Held over writes of the bus, so that what is known is what is stored.
    known: RwLock<Known>,
}

/// While it is held, the namespace stays.
pub(crate) type Inside<'namespaces> = RwLockReadGuard<'namespaces, Known>;

impl Namespaces {
    pub(crate) async fn read(bus: ControllerBus) -> Result<Self> {
        let stored = bus.namespaces.list().await?;
        let mut known: Known = stored.into_iter().map(|namespace| (namespace.name.clone(), namespace)).collect();
        let default = bus.connection.default_namespace().as_str();
        known
            .entry(default.to_owned())
            .or_insert_with(|| NamespaceInfo { name: default.to_owned(), ..NamespaceInfo::default() });
        Ok(Self { bus, known: RwLock::new(known) })
    }

    /// All namespaces by name, the default one first.
    pub(crate) async fn list(&self) -> Vec<NamespaceInfo> {
        let mut all: Vec<_> = self.known.read().await.values().cloned().collect();
        all.sort_by_key(|namespace| namespace.name != self.default().as_str());
        all
    }

    /// Held while something is put into a namespace; `None` is the default one.
    pub(crate) async fn enter(&self, namespace: Option<&str>) -> Result<Inside<'_>> {
        let known = self.known.read().await;
        match namespace {
            Some(namespace) if !known.contains_key(namespace) => Err(Error::Invalid(format!(
                "namespace {namespace} not found: create it first with POST /system/namespace/{namespace} \
                 or faas-cli namespace create {namespace}"
            ))),
            Some(_) | None => Ok(known),
        }
    }

    pub(crate) async fn create(&self, namespace: NamespaceInfo) -> Result<()> {
        if namespace.name.is_empty() {
            return Err(Error::Invalid("the name of the namespace is missing".to_owned()));
        }
        self.default().other(&namespace.name).map_err(|error| Error::Invalid(error.to_string()))?;
        let mut known = self.known.write().await;
        if known.contains_key(&namespace.name) {
            return Err(Error::Conflict(format!("namespace {} already exists: use PUT to update it", namespace.name)));
        }
        self.put(&mut known, namespace).await
    }

    pub(crate) async fn update(&self, namespace: NamespaceInfo) -> Result<()> {
        let mut known = self.known.write().await;
        require(&known, &namespace.name)?;
        self.put(&mut known, namespace).await
    }

    /// Removes a namespace when `contents`, which is asked while nothing can be put into it, is nothing.
    pub(crate) async fn delete(&self, name: &str, contents: impl AsyncFnOnce() -> Result<Vec<String>>) -> Result<()> {
        let mut known = self.known.write().await;
        require(&known, name)?;
        if name == self.default().as_str() {
            return Err(Error::Invalid(format!("namespace {name} is the default one and cannot be deleted")));
        }
        let contents = contents().await?;
        if !contents.is_empty() {
            return Err(Error::Conflict(format!(
                "namespace {name} is not empty: delete {} first",
                contents.join(", ")
            )));
        }
        self.bus.namespaces.remove(name).await?;
        known.remove(name);
        info!(namespace = name, "namespace is deleted");
        Ok(())
    }

    async fn put(&self, known: &mut Known, namespace: NamespaceInfo) -> Result<()> {
        self.bus.namespaces.put(&namespace).await?;
        info!(namespace = namespace.name, "namespace is set");
        known.insert(namespace.name.clone(), namespace);
        Ok(())
    }

    pub(crate) fn default(&self) -> &DefaultNamespace {
        self.bus.connection.default_namespace()
    }
}

fn require(known: &Known, name: &str) -> Result<()> {
    if known.contains_key(name) {
        return Ok(());
    }
    Err(Error::NotFound(format!("namespace {name:?} not found")))
}
