//! All functions that can be called, kept up to date from the bus and read without a lock.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use skep_protocol::{FunctionName, control::Revision};
use tokio::{sync::watch, time::timeout};

use crate::{function::Function, functions::Functions};

/// A view of the registry that follows the controller; when the controller or the bus is away it keeps the last state.
#[derive(Clone)]
pub struct Registry {
    pub(crate) functions: Arc<ArcSwap<Functions>>,
    pub(crate) changed: watch::Receiver<u64>,
}

impl Registry {
    pub fn get(&self, name: &FunctionName) -> Option<Arc<Function>> {
        self.functions.load().get(name).cloned()
    }

    /// All functions, by name.
    pub fn all(&self) -> Vec<Arc<Function>> {
        let mut all: Vec<_> = self.snapshot().iter().cloned().collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// All functions as they are now, in no order and without a copy.
    pub(crate) fn snapshot(&self) -> Arc<Functions> {
        self.functions.load_full()
    }

    /// Whether something holds for every function.
    pub fn every(&self, holds: impl Fn(&Function) -> bool) -> bool {
        self.snapshot().iter().all(|function| holds(function))
    }

    /// Whether a replica of any function has an address like this.
    pub fn has_replica(&self, is_wanted: impl Fn(SocketAddr) -> bool) -> bool {
        let functions = self.functions.load();
        functions.iter().flat_map(|function| function.all_endpoints()).any(|endpoint| is_wanted(endpoint.address))
    }

    /// The functions whose `topic` annotation names one of these topics, by name.
    pub fn subscribed(&self, topics: &[String]) -> Vec<FunctionName> {
        let wants = |function: &Function| {
            function.policy.topics.iter().any(|pattern| topics.iter().any(|topic| pattern.matches(topic)))
        };
        let functions = self.functions.load();
        let mut found: Vec<_> =
            functions.iter().filter(|function| wants(function)).map(|function| function.name.clone()).collect();
        found.sort();
        found
    }

    /// The shortest time for which any function keeps its results, where one says so.
    pub fn shortest_result_ttl(&self) -> Option<Duration> {
        self.functions.load().iter().filter_map(|function| function.policy.result_ttl).min()
    }

    /// Waits until the registry is as it must be; `false` if the deadline passed first.
    pub async fn wait_until(&self, mut done: impl FnMut(&Self) -> bool, deadline: Duration) -> bool {
        let mut changed = self.changed.clone();
        timeout(deadline, async {
            loop {
                changed.borrow_and_update();
                if done(self) {
                    return true;
                }
                if changed.changed().await.is_err() {
                    return false;
                }
            }
        })
        .await
        .unwrap_or(false)
    }

    /// Waits until a write of the controller, by its revision, is seen here; `false` if the deadline passed first.
    pub async fn wait_for_revision(&self, revision: Revision, deadline: Duration) -> bool {
        let mut changed = self.changed.clone();
        timeout(deadline, changed.wait_for(|seen| *seen >= revision.0)).await.is_ok_and(|seen| seen.is_ok())
    }

    /// A channel that signals each change; its value is the last revision.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }
}
