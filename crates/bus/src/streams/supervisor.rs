//! Supervises the streams while a program runs: missing ones are created again, and what the server does with them is checked.

use std::{sync::Arc, time::Duration};

use futures_util::TryStreamExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{Bus, Connection, Error, Result, streams};

const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The shortest time between two checks, however many callers miss a stream.
const MIN_CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// Someone has missed a stream.
#[derive(Clone, Default)]
pub(crate) struct Missed(Arc<Notify>);

impl Missed {
    pub(crate) fn notify(&self) {
        self.0.notify_one();
    }
}

impl Bus {
    /// Looks after the streams until `stop`.
    pub async fn supervise(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.connection.supervise()).await;
    }
}

impl Connection {
    async fn supervise(&self) {
        let mut connections = self.connected.changes();
        loop {
            tokio::select! {
                () = self.missed.0.notified() => {}
                // Its sender lives as long as this handle.
                _ = connections.changed() => {}
                () = tokio::time::sleep(CHECK_INTERVAL) => {}
            }
            if let Err(error) = Box::pin(self.check_streams()).await
                && self.is_connected()
            {
                warn!(error = error.chain(), "the streams cannot be checked; trying again");
            }
            tokio::time::sleep(MIN_CHECK_INTERVAL).await;
        }
    }

    /// Notes when the lease of the controller was written last; it may have expired since.
    async fn look_for_controller(&self) -> Result<()> {
        let state = self.streams.controller.stream.get_info().await.map_err(Error::unavailable)?.state;
        if state.last_sequence > 0 {
            self.controller_seen.at(state.last_timestamp);
        }
        Ok(())
    }

    async fn check_streams(&self) -> Result<()> {
        let wanted = streams::names(&self.subjects, &self.kept);
        let found: Vec<String> = self.jetstream.stream_names().try_collect().await.map_err(Error::unavailable)?;
        let missing: Vec<&String> = wanted.iter().filter(|name| !found.contains(name)).collect();
        if !missing.is_empty() {
            warn!(?missing, "streams are missing; creating them again");
            Box::pin(streams::ensure(&self.jetstream, self.role, &self.subjects, &self.kept)).await?;
        }
        self.look_at_server().await
    }

    /// What is known of the server: the controller's lease there, its clock, and what it does with what it stores.
    pub(crate) async fn look_at_server(&self) -> Result<()> {
        self.look_for_controller().await?;
        self.check_clock().await?;
        self.check_durability().await
    }
}
