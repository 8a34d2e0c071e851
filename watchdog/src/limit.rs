//! How many calls may run at a time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// `max_inflight`, or no limit.
#[derive(Debug)]
pub(crate) struct Limit {
    places: Option<(Arc<Semaphore>, usize)>,
}

/// All places are taken.
#[derive(Debug)]
pub(crate) struct Full;

impl Limit {
    pub(crate) fn new(size: Option<usize>) -> Self {
        let size = size.map(|size| size.min(Semaphore::MAX_PERMITS));
        Self { places: size.map(|size| (Arc::new(Semaphore::new(size)), size)) }
    }

    /// A place for one call, `None` where there is no limit.
    pub(crate) fn enter(&self) -> Result<Option<OwnedSemaphorePermit>, Full> {
        match &self.places {
            None => Ok(None),
            Some((places, _)) => Arc::clone(places).try_acquire_owned().map(Some).map_err(|_| Full),
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
