//! When each function was last used, as gateways and workers report it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{Stream, StreamExt};
use skep_protocol::FunctionName;
use tokio::time::Instant;

/// Only functions that may be scaled to zero are reported.
#[derive(Default)]
pub(crate) struct Usage {
    last: Mutex<HashMap<FunctionName, Instant>>,
}

impl Usage {
    /// Records each report until the connection ends for good.
    pub(crate) async fn follow(&self, reports: impl Stream<Item = Vec<FunctionName>>) {
        let mut reports = std::pin::pin!(reports);
        while let Some(names) = reports.next().await {
            let now = Instant::now();
            let mut last = self.last();
            for name in names {
                last.insert(name, now);
            }
        }
    }

    pub(crate) fn last_use(&self, name: &FunctionName) -> Option<Instant> {
        self.last().get(name).copied()
    }

    pub(crate) fn forget(&self, name: &FunctionName) {
        self.last().remove(name);
    }

    fn last(&self) -> MutexGuard<'_, HashMap<FunctionName, Instant>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
