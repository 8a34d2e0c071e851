//! Events of skep itself.

use serde::Deserialize;

use crate::error::SourceError;

/// Which of skep's own events a source has.
#[derive(Clone, Debug, Deserialize)]
pub struct PlatformEvents(pub Vec<String>);

pub(super) fn read(_events: PlatformEvents) -> Result<PlatformEvents, SourceError> {
    Err(SourceError::at_key("skep", "is not supported yet"))
}
