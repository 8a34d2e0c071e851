//! Deletes large bodies for gateways, which may not purge streams.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::StreamExt;
use tracing::warn;

use crate::Worker;

const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Goes on until the last call has ended. What nobody hears is found by housekeeping.
pub(crate) async fn run(worker: Arc<Worker>) {
    while !worker.gone.is_cancelled() {
        match worker.bus.housekeeping.discarded_bodies().await {
            Ok(discarded) => {
                let mut discarded = pin!(discarded);
                while let Some(Some(key)) = worker.gone.run_until_cancelled(discarded.next()).await {
                    worker.bus.bodies.discard(&key);
                }
            }
            Err(error) => {
                warn!(error = error.chain(), "cannot subscribe to discarded bodies; trying again");
                worker.gone.run_until_cancelled(tokio::time::sleep(RETRY_DELAY)).await;
            }
        }
    }
}
