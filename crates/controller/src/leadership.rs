//! Leadership: one controller at a time holds the lease, and the others wait for it.

use std::sync::Arc;

use skep_bus::Lease;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::Result;

/// The lease, and the task that renews it.
pub(crate) struct Leadership {
    lease: Arc<Lease>,
    renewal: AbortOnDropHandle<()>,
}

impl Leadership {
    /// Waits until no other controller leads; `waiting` is cancelled if there is one.
    pub(crate) async fn acquire(
        leadership: &skep_bus::Leadership,
        holder: &str,
        waiting: &CancellationToken,
    ) -> Result<Self> {
        let lease = Arc::new(leadership.acquire(holder, waiting).await?);
        let renewed = Arc::clone(&lease);
        let renewal = tokio::spawn(async move { renewed.keep().await });
        Ok(Self { lease, renewal: AbortOnDropHandle::new(renewal) })
    }

    /// What writes the registry, and fails once another controller leads.
    pub(crate) fn lease(&self) -> Arc<Lease> {
        Arc::clone(&self.lease)
    }

    /// Returns when another controller leads.
    pub(crate) async fn lost(&self) {
        self.lease.lost().await;
    }

    /// Gives the lease up, so that the next controller need not wait until it expires.
    pub(crate) async fn resign(self) {
        drop(self.renewal);
        self.lease.release().await;
    }
}
