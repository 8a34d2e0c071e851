//! The streams of sources that capture: each is made before its source, and goes with it.

use std::{sync::Arc, time::Duration};

use skep_bus::Error as BusError;
use skep_protocol::SourceName;
use skep_sources::Origin;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::{Sources, declaration::Declaration};
use crate::{Error, Result};

/// How often it is looked whether a stream is missing.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

impl Sources {
    /// Makes again what is missing, for as long as this controller leads.
    pub(crate) async fn look_after_captures(self: Arc<Self>) {
        loop {
            sleep(LOOK_INTERVAL).await;
            if let Err(error) = self.capture_again().await {
                debug!(%error, "the streams of sources cannot be looked after; trying again");
            }
        }
    }

    async fn capture_again(&self) -> Result<()> {
        let _alone = self.alone().await;
        let there = self.bus.topics.capturing().await?;
        for source in self.bus.sources.list().await? {
            let name = &source.record.name;
            let Ok(declaration) = self.read(name, &source.record.spec) else { continue };
            if declaration.captured().is_some() && !there.contains(name) {
                warn!(source = %name, "the stream of a source is missing; it is made again");
                self.capture(name, &declaration).await?;
            }
        }
        Ok(())
    }

    /// Makes the stream of a source that captures; `true` if it does.
    pub(super) async fn capture(&self, name: &SourceName, declaration: &Declaration) -> Result<bool> {
        let Some(subjects) = declaration.captured() else { return Ok(false) };
        match self.bus.topics.capture(name, subjects).await {
            Ok(()) => Ok(true),
            Err(BusError::Refused { message, .. }) => Err(Error::Invalid(format!("source {name}: {message}"))),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the stream of a source that captures no more.
    pub(super) async fn release(&self, name: &SourceName) -> Result<()> {
        Ok(self.bus.topics.release(name).await.map(drop)?)
    }
}

impl Declaration {
    /// The subjects that are captured, if some are.
    fn captured(&self) -> Option<&[String]> {
        match self.kind().messages().map(|messages| &messages.from) {
            Some(Origin::Captured(subjects)) => Some(subjects),
            _ => None,
        }
    }

    /// Whether it captures.
    pub(super) fn captures(&self) -> bool {
        self.captured().is_some()
    }
}
