//! What is deployed and where it can be reached: two keys per function, written only by the controller with its [`Lease`](crate::Lease).

pub(crate) mod leadership;
pub(crate) mod merge;
mod migrate;
pub(crate) mod namespaces;
mod versions;
pub(crate) mod watch;

use std::collections::BTreeMap;

use async_nats::jetstream::kv::CreateErrorKind;
use futures_util::{Stream, StreamExt};
use skep_protocol::{CallId, FunctionName, FunctionRecord};
use time::OffsetDateTime;

use self::merge::Merge;
use crate::{Error, Registry, Result};

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

impl Registry {
    /// A name that no other registry has, also not one of the same name on other servers; it stays as long as the registry does.
    pub async fn identity(&self) -> Result<String> {
        let store = &self.nats.streams.functions;
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
    pub async fn made_at(&self) -> Result<OffsetDateTime> {
        let info = self.nats.streams.functions.stream.get_info().await.map_err(Error::unavailable)?;
        Ok(info.created)
    }

    /// All functions at this moment, by name.
    pub async fn functions(&self) -> Result<Vec<(FunctionName, FunctionRecord)>> {
        let mut found = BTreeMap::new();
        let mut events = std::pin::pin!(self.watch().await?);
        while let Some(event) = events.next().await {
            match event? {
                RegistryEvent::Put { name, record, .. } => drop(found.insert(name, *record)),
                RegistryEvent::Deleted { name, .. } => drop(found.remove(&name)),
                RegistryEvent::Current => return Ok(found.into_iter().collect()),
            }
        }
        Err(Error::unavailable("the connection was lost before all functions were read"))
    }

    /// First all functions, then [`RegistryEvent::Current`], then each change. It ends when the connection is lost.
    pub async fn watch(&self) -> Result<impl Stream<Item = Result<RegistryEvent>> + use<>> {
        watch::watch::<Merge>(&self.nats.streams.functions).await
    }
}
