//! Drops calls that are cancelled while this worker holds them.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::StreamExt;
use tracing::warn;

use crate::Worker;

const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Listens for cancellations until the last call has ended.
pub(crate) async fn run(worker: Arc<Worker>) {
    while !worker.gone.is_cancelled() {
        match worker.bus.workers.cancellations().await {
            Ok(cancelled) => {
                let mut cancelled = pin!(cancelled);
                while let Some(Some(id)) = worker.gone.run_until_cancelled(cancelled.next()).await {
                    worker.held.cancel(&id);
                }
            }
            Err(error) => {
                warn!(error = error.chain(), "cannot subscribe to cancelled calls; trying again");
                worker.gone.run_until_cancelled(tokio::time::sleep(RETRY_DELAY)).await;
            }
        }
    }
}
