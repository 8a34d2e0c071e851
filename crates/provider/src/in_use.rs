//! When each function was used last, as gateways and workers tell it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{Stream, StreamExt};
use skep_protocol::FunctionName;
use tokio::time::Instant;

/// Only functions that may be scaled to zero are told of.
#[derive(Default)]
pub(crate) struct InUse {
    last: Mutex<HashMap<FunctionName, Instant>>,
}

impl InUse {
    /// Takes notice until the connection ends for good.
    pub(crate) async fn hear(&self, told: impl Stream<Item = Vec<FunctionName>>) {
        let mut told = std::pin::pin!(told);
        while let Some(names) = told.next().await {
            let now = Instant::now();
            let mut last = self.last();
            for name in names {
                last.insert(name, now);
            }
        }
    }

    pub(crate) fn last_of(&self, name: &FunctionName) -> Option<Instant> {
        self.last().get(name).copied()
    }

    pub(crate) fn forget(&self, name: &FunctionName) {
        self.last().remove(name);
    }

    fn last(&self) -> MutexGuard<'_, HashMap<FunctionName, Instant>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
