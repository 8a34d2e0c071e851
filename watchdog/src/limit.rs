//! How many calls may run at a time.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// `max_inflight`, or no limit.
#[derive(Debug)]
pub(crate) struct Limit {
    places: Option<(Arc<Semaphore>, usize)>,
    /// How long a call waits for a place.
    patience: Duration,
}

/// All places are taken.
#[derive(Debug)]
pub(crate) struct Full;

impl Limit {
    pub(crate) fn new(size: Option<usize>, patience: Duration) -> Self {
        let size = size.map(|size| size.min(Semaphore::MAX_PERMITS));
        Self { places: size.map(|size| (Arc::new(Semaphore::new(size)), size)), patience }
    }

    /// A place for one call, `None` where there is no limit. Calls that wait get theirs in the order in which they came.
    pub(crate) async fn enter(&self) -> Result<Option<OwnedSemaphorePermit>, Full> {
        let Some((places, _)) = &self.places else {
            return Ok(None);
        };
        if self.patience.is_zero() {
            return Arc::clone(places).try_acquire_owned().map(Some).map_err(|_| Full);
        }
        match timeout(self.patience, Arc::clone(places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(Some(place)),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.places.as_ref().is_some_and(|(places, _)| places.available_permits() == 0)
    }

    /// 0 is no limit.
    pub(crate) fn size(&self) -> usize {
        self.places.as_ref().map_or(0, |(_, size)| *size)
    }
}
