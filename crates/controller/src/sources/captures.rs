//! The streams of sources that capture: each is made before its source, and goes with it.

use std::{sync::Arc, time::Duration};

use skep_bus::{Error as BusError, FromSource, Source, SourcesView};
use skep_protocol::SourceName;
use skep_sources::Origin;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Sources, declaration::Declaration};
use crate::{Error, Result};

/// How often it is looked whether a stream is missing.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Whether a source captures.
struct Captures(bool);

impl FromSource for Captures {
    type Context = Sources;

    fn from_source(source: &Source, sources: &Sources, _before: Option<&Self>) -> Self {
        let declaration = sources.read(&source.record.name, &source.record.spec);
        Self(declaration.is_ok_and(|declaration| declaration.captures()))
    }
}

impl Sources {
    /// Makes again what is missing, until the term ends.
    pub(crate) async fn look_after_captures(self: Arc<Self>, ending: CancellationToken) {
        let view = SourcesView::<Captures>::default();
        let look = async {
            loop {
                sleep(LOOK_INTERVAL).await;
                let sources = Arc::clone(&view.changes().borrow());
                let capturing = sources.iter().filter(|(_, source)| source.0).map(|(name, _)| name);
                if let Err(error) = self.capture_again(capturing.collect()).await {
                    debug!(%error, "the streams of sources cannot be looked after; trying again");
                }
            }
        };
        tokio::select! {
            () = view.follow(&self.bus.sources, &*self, &ending) => {}
            () = look => {}
        }
    }

    async fn capture_again(&self, capturing: Vec<&SourceName>) -> Result<()> {
        if capturing.is_empty() {
            return Ok(());
        }
        let there = self.bus.topics.capturing().await?;
        for name in capturing.into_iter().filter(|name| !there.contains(name)) {
            let _alone = self.alone().await;
            // It may have been changed meanwhile.
            let Some(source) = self.bus.sources.get(name).await? else { continue };
            let Ok(declaration) = self.read(name, &source.record.spec) else { continue };
            if declaration.captures() {
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
