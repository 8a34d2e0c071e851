//! Places for connections.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tracing::warn;

/// The log does not say more often that none is free.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Connections that find none wait until they are accepted.
pub(super) struct Places {
    free: Arc<Semaphore>,
    told: Option<Instant>,
}

impl Places {
    pub(super) fn new(number: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(number)), told: None }
    }

    pub(super) fn take_now(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// Waits for one.
    pub(super) async fn take(&mut self) -> Option<OwnedSemaphorePermit> {
        if let Some(place) = self.take_now() {
            return Some(place);
        }
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            warn!("as many connections are open as may be, so further ones wait (--max-connections, ulimit -Hn)");
            self.told = Some(Instant::now());
        }
        Arc::clone(&self.free).acquire_owned().await.ok()
    }
}
